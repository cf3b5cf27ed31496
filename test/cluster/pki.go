package main

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"time"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// makePKI writes the authorities, certificates and kubeconfigs of the cluster's parts.
func (c *cluster) makePKI() error {
	if err := os.MkdirAll(c.pki(""), 0o700); err != nil {
		return err
	}
	ca, err := c.authority("ca", "descry-cluster-ca")
	if err != nil {
		return err
	}
	// The aggregator's own authority: an aggregated API server trusts X-Remote-* headers from this client alone.
	front, err := c.authority("front-proxy-ca", "front-proxy-ca")
	if err != nil {
		return err
	}
	server := pkix.Name{CommonName: "kube-apiserver"}
	if err := c.certificate(ca, "apiserver", server, []string{
		"localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local",
	}); err != nil {
		return err
	}
	masters := []string{"system:masters"}
	for _, client := range []struct {
		name string
		who  pkix.Name
	}{
		{"admin", pkix.Name{CommonName: "admin", Organization: masters}},
		{"kubelet", pkix.Name{CommonName: "system:node:" + nodeName, Organization: []string{"system:nodes"}}},
		{"apiserver-kubelet", pkix.Name{CommonName: "kube-apiserver-kubelet-client", Organization: masters}},
		{"kcm", pkix.Name{CommonName: "system:kube-controller-manager"}},
		{"scheduler", pkix.Name{CommonName: "system:kube-scheduler"}},
		{"kube-proxy", pkix.Name{CommonName: "system:kube-proxy"}},
	} {
		if err := c.certificate(ca, client.name, client.who, nil); err != nil {
			return err
		}
		if err := c.kubeconfig(client.name); err != nil {
			return err
		}
	}
	if err := c.certificate(front, "front-proxy-client", pkix.Name{CommonName: "front-proxy-client"}, nil); err != nil {
		return err
	}
	return c.accountKey()
}

func (c *cluster) authority(name, common string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := template(pkix.Name{CommonName: common})
	t.IsCA, t.BasicConstraintsValid, t.KeyUsage = true, true, x509.KeyUsageCertSign|x509.KeyUsageCRLSign|x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	return &authority{cert, key}, c.writePair(name, der, key)
}

// certificate makes a server's certificate for names, a client's where there are none.
func (c *cluster) certificate(ca *authority, name string, who pkix.Name, names []string) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	t := template(who)
	t.KeyUsage, t.ExtKeyUsage = x509.KeyUsageDigitalSignature|x509.KeyUsageKeyEncipherment, []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	if names != nil {
		t.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
		t.DNSNames = names
		t.IPAddresses = []net.IP{net.ParseIP("127.0.0.1"), net.ParseIP(nodeIP), net.ParseIP(serviceIP)}
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca.cert, key.Public(), ca.key)
	if err != nil {
		return fmt.Errorf("sign the certificate of %s: %w", name, err)
	}
	return c.writePair(name, der, key)
}

func template(who pkix.Name) *x509.Certificate {
	serial, _ := rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 120))
	return &x509.Certificate{SerialNumber: serial, Subject: who, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0)}
}

func (c *cluster) writePair(name string, cert []byte, key crypto.Signer) error {
	if err := writePEM(c.pki(name+".crt"), "CERTIFICATE", cert); err != nil {
		return err
	}
	return writeKey(c.pki(name+".key"), key)
}

// accountKey makes the key that signs the tokens of service accounts.
func (c *cluster) accountKey() error {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return err
	}
	pub, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		return err
	}
	if err := writePEM(c.pki("sa.pub"), "PUBLIC KEY", pub); err != nil {
		return err
	}
	return writeKey(c.pki("sa.key"), key)
}

func writeKey(path string, key crypto.Signer) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(path, "PRIVATE KEY", der)
}

func writePEM(path, kind string, der []byte) error {
	return os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600)
}

func (c *cluster) kubeconfig(name string) error {
	return os.WriteFile(c.pki(name+".kubeconfig"), []byte(fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:443", certificate-authority: %q}}]
users: [{name: u, user: {client-certificate: %q, client-key: %q}}]
contexts: [{name: c, context: {cluster: c, user: u}}]
current-context: c
`, c.pki("ca.crt"), c.pki(name+".crt"), c.pki(name+".key"))), 0o600)
}
