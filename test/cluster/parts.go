package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
)

// parts starts the parts of Kubernetes in the order in which they need each other.
func (n *node) parts() error {
	const etcd = "http://127.0.0.1:2379"
	const peers = "http://127.0.0.1:2380"
	if err := n.run("etcd", "--data-dir", n.at("etcd"), "--listen-client-urls", etcd, "--advertise-client-urls", etcd,
		"--listen-peer-urls", peers, "--initial-advertise-peer-urls", peers, "--initial-cluster", "default="+peers, "--unsafe-no-fsync"); err != nil {
		return err
	}
	if err := n.run("containerd", "--config", n.at("containerd.toml")); err != nil {
		return err
	}
	if err := n.run("kube-apiserver", "--etcd-servers="+etcd, "--secure-port=443", "--bind-address=0.0.0.0", "--advertise-address="+nodeIP,
		"--tls-cert-file="+n.pki("apiserver.crt"), "--tls-private-key-file="+n.pki("apiserver.key"), "--client-ca-file="+n.pki("ca.crt"),
		"--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction", "--allow-privileged=true",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+n.pki("sa.pub"), "--service-account-signing-key-file="+n.pki("sa.key"),
		"--service-cluster-ip-range="+serviceCIDR, "--kubelet-client-certificate="+n.pki("apiserver-kubelet.crt"), "--kubelet-client-key="+n.pki("apiserver-kubelet.key"),
		"--kubelet-preferred-address-types=InternalIP", "--profiling=false",
		"--requestheader-client-ca-file="+n.pki("front-proxy-ca.crt"), "--requestheader-allowed-names=front-proxy-client",
		"--requestheader-username-headers=X-Remote-User", "--requestheader-group-headers=X-Remote-Group", "--requestheader-extra-headers-prefix=X-Remote-Extra-",
		"--proxy-client-cert-file="+n.pki("front-proxy-client.crt"), "--proxy-client-key-file="+n.pki("front-proxy-client.key"), "--enable-aggregator-routing=true"); err != nil {
		return err
	}
	if err := n.until("containerd answers", func() bool { return exec.Command(n.bin("ctr"), "version").Run() == nil }); err != nil {
		return err
	}
	if err := n.importImages(); err != nil {
		return err
	}
	if err := n.until("the API answers", func() bool { _, ok := n.kubectl("get", "--raw", "/readyz"); return ok }); err != nil {
		return err
	}
	// Without its rate raised the controller manager makes the first service account five seconds later.
	kcm := n.pki("kcm.kubeconfig")
	if err := n.run("kube-controller-manager", "--kubeconfig="+kcm, "--authentication-kubeconfig="+kcm, "--authorization-kubeconfig="+kcm,
		"--use-service-account-credentials=true", "--service-account-private-key-file="+n.pki("sa.key"), "--root-ca-file="+n.pki("ca.crt"), "--leader-elect=false",
		"--kube-api-qps=300", "--kube-api-burst=600", "--allocate-node-cidrs=false", "--flex-volume-plugin-dir=/var/lib/kubelet/volumeplugins", "--profiling=false"); err != nil {
		return err
	}
	sched := n.pki("scheduler.kubeconfig")
	if err := n.run("kube-scheduler", "--kubeconfig="+sched, "--authentication-kubeconfig="+sched, "--authorization-kubeconfig="+sched, "--leader-elect=false", "--profiling=false"); err != nil {
		return err
	}
	if err := n.run("kubelet", "--config="+n.at("kubelet.yaml"), "--kubeconfig="+n.pki("kubelet.kubeconfig"), "--hostname-override="+nodeName, "--node-ip="+nodeIP, "--v=2"); err != nil {
		return err
	}
	if n.proxy {
		if err := n.run("kube-proxy", "--kubeconfig="+n.pki("kube-proxy.kubeconfig"), "--hostname-override="+nodeName, "--proxy-mode=iptables", "--cluster-cidr="+podCIDR,
			"--conntrack-max-per-core=0", "--conntrack-tcp-timeout-established=0s", "--conntrack-tcp-timeout-close-wait=0s"); err != nil {
			return err
		}
	}
	if err := n.until("the node is ready", func() bool {
		out, ok := n.kubectl("get", "node", nodeName, "-o", `jsonpath={.status.conditions[?(@.type=="Ready")].status}`)
		return ok && strings.Contains(out, "True")
	}); err != nil {
		return err
	}
	return n.until("pods can be made", func() bool { _, ok := n.kubectl("-n", "default", "get", "serviceaccount", "default"); return ok })
}

func (n *node) importImages() error {
	images, err := filepath.Glob(filepath.Join(n.images(), "*.tar"))
	if err != nil {
		return err
	}
	for _, image := range images {
		if out, err := exec.Command(n.bin("ctr"), "-n", "k8s.io", "images", "import", "--local", "--snapshotter", "overlayfs", image).CombinedOutput(); err != nil {
			return fmt.Errorf("import %s: %w: %s", image, err, out)
		}
	}
	n.stamp("images")
	return nil
}
