# A Kubernetes control plane on loopback: etcd from Debian, the API server and controllers compiled
# from kubernetes/, whose go.{mod,sum} pin them. Its node runs no containers: what a kubelet would say
# of a pod, tests say through the API; logs and programs are served as a kubelet serves them.
# shellcheck shell=bash

fetch_etcd() { extract bookworm etcd etcd-server; }

build_kubernetes() {
    local go version
    go=$(go_tool)
    version=$(awk '$1 == "k8s.io/kubernetes" || $2 == "k8s.io/kubernetes" { print $NF; exit }' "$ENGINES_SRC/kubernetes/go.mod")
    # Two thousand packages: compiled for being compiled quickly, which saves a quarter, and after the
    # tests that run meanwhile.
    (cd "$ENGINES_SRC/kubernetes" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOGC=400 \
        nice "$go" build -trimpath -gcflags 'all=-N -l -dwarf=false' \
        -ldflags "-s -w -X k8s.io/component-base/version.gitVersion=$version" \
        -o "$BIN/kubernetes-control-plane" .) \
        > "$STATE/log/build-kubernetes.log" 2>&1 ||
        { tail -n 20 "$STATE/log/build-kubernetes.log" >&2; die "could not build the Kubernetes control plane"; }
}

# The operators of JobSet, PyTorchJob and MPIJob, compiled from operators/, and the definitions of those kinds.
build_operators() {
    local go part dir
    go=$(go_tool)
    (cd "$ENGINES_SRC/operators" && CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-mod=readonly GOGC=400 \
        nice "$go" build -trimpath -gcflags 'all=-N -l -dwarf=false' -ldflags '-s -w' -o "$BIN/kubernetes-operators" .) \
        > "$STATE/log/build-operators.log" 2>&1 ||
        { tail -n 20 "$STATE/log/build-operators.log" >&2; die "could not build the operators"; }
    rm -rf "$STATE/operators" && mkdir -p "$STATE/operators"/{definitions,examples}
    for part in sigs.k8s.io/jobset:config/components/crd/bases/jobset.x-k8s.io_jobsets.yaml \
        github.com/kubeflow/training-operator:manifests/base/crds/kubeflow.org_pytorchjobs.yaml \
        github.com/kubeflow/mpi-operator:manifests/base/kubeflow.org_mpijobs.yaml; do
        dir=$(cd "$ENGINES_SRC/operators" && "$go" list -m -f '{{.Dir}}' "${part%%:*}")
        install -m 644 "$dir/${part#*:}" "$STATE/operators/definitions"
    done
    # What their authors show of them, which tests take as queues' configurations.
    for part in github.com/kubeflow/training-operator:examples/pytorch/simple.yaml \
        github.com/kubeflow/training-operator:examples/pytorch/mnist/v1/pytorch_job_mnist_gloo.yaml \
        github.com/kubeflow/training-operator:examples/pytorch/smoke-dist/pytorch_job_sendrecv.yaml \
        github.com/kubeflow/mpi-operator:examples/v2beta1/pi/pi.yaml \
        github.com/kubeflow/mpi-operator:examples/v2beta1/tensorflow-benchmarks/tensorflow-benchmarks.yaml; do
        dir=$(cd "$ENGINES_SRC/operators" && "$go" list -m -f '{{.Dir}}' "${part%%:*}")
        install -m 644 "$dir/${part#*:}" "$STATE/operators/examples"
    done
}

# A CA, the server's certificate, an administrator's, and the key that signs service accounts' tokens.
make_kubernetes_certs() {
    local dir=$STATE/kubernetes/certs log=$STATE/log/kubernetes-certs.log
    rm -rf "$dir" && mkdir -p "$dir"
    (
        cd "$dir"
        openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 3650 \
            -subj '/CN=mlbuild test cluster' -addext 'keyUsage=critical,keyCertSign' -keyout ca-key.pem -out ca.pem
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/CN=kube-apiserver' \
            -keyout server-key.pem -out server.csr
        printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=serverAuth\n' > server.ext
        openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj '/O=system:masters/CN=admin' \
            -keyout admin-key.pem -out admin.csr
        printf 'extendedKeyUsage=clientAuth\n' > admin.ext
        for who in server admin; do
            openssl x509 -req -in $who.csr -CA ca.pem -CAkey ca-key.pem -CAcreateserial -days 3650 \
                -extfile $who.ext -out $who.pem
        done
        openssl ecparam -name prime256v1 -genkey -noout -out tokens-key.pem
        rm -f ./*.csr ./*.ext ca.srl
    ) > "$log" 2>&1 || { tail -n 20 "$log" >&2; die "could not make the cluster's certificates"; }
}

kubernetes_url() { printf 'https://127.0.0.1:%s' "$(port_of kubernetes)"; }
kubernetes_logs() { printf '%s/kubernetes/logs' "$STATE"; }
KUBERNETES_NODE=test-node
kubeconfig() { printf '%s/kubernetes/kubeconfig' "$STATE"; }

write_kubeconfig() {
    local certs=$STATE/kubernetes/certs
    cat > "$(kubeconfig)" << YAML
apiVersion: v1
kind: Config
current-context: test
clusters: [{ name: test, cluster: { server: "$(kubernetes_url)", certificate-authority: $certs/ca.pem } }]
users: [{ name: admin, user: { client-certificate: $certs/admin.pem, client-key: $certs/admin-key.pem } }]
contexts: [{ name: test, context: { cluster: test, user: admin } }]
YAML
}

kubernetes_ready() {
    local certs=$STATE/kubernetes/certs
    curl -fsS --max-time 5 -o /dev/null --cacert "$certs/ca.pem" --cert "$certs/admin.pem" \
        --key "$certs/admin-key.pem" "$(kubernetes_url)$1"
}

kubernetes_up() {
    local certs=$STATE/kubernetes/certs etcd
    etcd=http://127.0.0.1:$(port_of etcd)
    # --unsafe-no-fsync is for states that nobody needs after a crash, as this.
    start etcd "$STATE/deb/etcd/usr/bin/etcd" --data-dir "$STATE/kubernetes/etcd" --unsafe-no-fsync \
        --listen-client-urls "$etcd" --advertise-client-urls "$etcd" \
        --listen-peer-urls "http://127.0.0.1:$(port_of etcd-peer)" --log-level warn
    write_kubeconfig
    start kubernetes "$BIN/kubernetes-control-plane" apiserver --etcd-servers="$etcd" \
        --bind-address=127.0.0.1 --advertise-address=127.0.0.1 --secure-port="$(port_of kubernetes)" \
        --tls-cert-file="$certs/server.pem" --tls-private-key-file="$certs/server-key.pem" \
        --client-ca-file="$certs/ca.pem" --service-account-key-file="$certs/tokens-key.pem" \
        --service-account-signing-key-file="$certs/tokens-key.pem" --service-account-issuer=https://mlbuild.test \
        --service-cluster-ip-range=10.96.0.0/24 --authorization-mode=RBAC --disable-admission-plugins=ServiceAccount \
        --allow-privileged --kubelet-certificate-authority="$certs/ca.pem" \
        --kubelet-client-certificate="$certs/admin.pem" --kubelet-client-key="$certs/admin-key.pem"
    # RBAC's own rules are written after the first answer.
    wait_for kubernetes 180 kubernetes_ready /readyz
    wait_for kubernetes 180 kubernetes_ready /api/v1/namespaces/default
    start kubernetes-controllers "$BIN/kubernetes-control-plane" controllers "$(kubeconfig)"
    mkdir -p "$(kubernetes_logs)"
    # What is executed in a pod runs beside the node: `buildctl dial-stdio` finds the tests' buildkitd.
    PATH=$BIN:$PATH BUILDKIT_HOST=unix://$(buildkitd_socket) start kubernetes-node "$BIN/kubernetes-control-plane" node "$KUBERNETES_NODE" "$(port_of kubernetes-node)" \
        "$certs" "$(kubernetes_logs)" "$(kubeconfig)"
    start kubernetes-operators "$BIN/kubernetes-operators" "$(kubeconfig)" "$certs" "$(port_of kubernetes-operators)" \
        "$STATE/operators/definitions"
    wait_for kubernetes-operators 180 listens 127.0.0.1 "$(port_of kubernetes-operators)"
    wait_for kubernetes-node 180 kubernetes_ready "/api/v1/nodes/$KUBERNETES_NODE"
}

kubernetes_down() {
    stop kubernetes-operators
    stop kubernetes-node
    stop kubernetes-controllers
    stop kubernetes
    stop etcd
    rm -rf "${STATE:?}/kubernetes" "$STATE/stamp/kubernetes-certs"
}
