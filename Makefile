# descry. `make demo` shows the main job, `make test` runs the tests; both need Go and make only.
# Tests that need more (root, eBPF, gcc, programs from Debian) skip by name with the reason.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -X github.com/descry-dev/descry/internal/version.Version=$(VERSION)
export CGO_ENABLED = 0

.PHONY: build demo test check generate test-kernel test-cluster bench image deploy helm

build: ## the command, in bin/descry
	go build -trimpath -ldflags '$(LDFLAGS)' -o bin/descry ./cmd/descry

demo: build ## a service leaks descriptors until its log turns to garbage and it dies; descry explains it
	@examples/badday/demo.sh

test: ## all tests but the emulated machines and the cluster
	go test $(TESTFLAGS) ./...

check: ## formatting, vet, staticcheck (staticcheck.conf)
	@test -z "$$(gofmt -l cmd internal test bench examples deploy)" || { gofmt -l cmd internal test bench examples deploy; echo "run gofmt -w on these"; exit 1; }
	go vet ./...
	go vet -tags cluster ./test/cluster/suite
	cd test/tools && go build -o ../../bin/staticcheck honnef.co/go/tools/cmd/staticcheck
	bin/staticcheck ./...

generate: ## eBPF objects (needs clang, llvm and libbpf-dev), docs/causes and docs/metrics.md
	go generate ./...

test-kernel: ## the probes on Debian's 6.1 and 6.12 kernels, emulated (needs apt-get; 90 MB at the first time)
	go run ./test/kernel
	go run ./test/kernel -kernel 6.1 -cgroups v1 -run '^(TestContainers|TestAdopt)$$/^v1$$' -pkg ./internal/probe
	go run ./test/kernel -kernel 6.1 -cgroups hybrid -run '^(TestContainers|TestAdopt)$$/^hybrid$$' -pkg ./internal/probe
	go run ./test/kernel -kernel 6.12 -run '^TestNode(Deaths|ChildDeath|Killed)$$' -pkg ./internal/agent

test-cluster: ## a real Kubernetes of one node, and its tests (root; cold it builds for 12 minutes of CPU time)
	go run ./test/cluster

bench: build ## the figures of docs/performance.md (needs root, redis, nginx, wrk, bpftrace)
	go run ./bench

image: ## the container image, amd64 and arm64, in bin/descry-image.tar (ctr -n k8s.io images import)
	go run ./deploy/image -o bin/descry-image.tar -version '$(VERSION)'

helm: ## helm itself, in bin/helm: it renders and checks the chart (cold it builds for minutes of CPU time)
	cd test/helm && go build -trimpath -ldflags '-s -w' -o ../../bin/helm helm.sh/helm/v3/cmd/helm

TEMPLATE = bin/helm template descry deploy/helm/descry --namespace descry --kube-version 1.34.0 --set createNamespace=true

deploy: helm ## the plain manifests of deploy/kubernetes, from the chart
	cp deploy/prometheus/rules.yaml deploy/helm/descry/files/rules.yaml
	$(TEMPLATE) > deploy/kubernetes/descry.yaml
	$(TEMPLATE) --set uninstall=true > deploy/kubernetes/uninstall.yaml
