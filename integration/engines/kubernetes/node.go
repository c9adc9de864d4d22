package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unsafe"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/cri-streaming/pkg/streaming/portforward"
	"k8s.io/cri-streaming/pkg/streaming/remotecommand"
	utilexec "k8s.io/utils/exec"
)

// A node that runs no containers: of a kubelet it has the address at which the API server asks for
// logs and programs. Logs are files that tests write, each line with its time, at
// FOLDER/NAMESPACE/POD/CONTAINER, and are over when FOLDER/NAMESPACE/POD/CONTAINER.end is there.
// Programs run on this machine. The streams are served by the library that container runtimes use.
func node(name, port, certs, folder, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return err
	}
	if err := register(context.Background(), client, name, port); err != nil {
		return err
	}
	// Whoever starts this in the background has it ignore Ctrl-C, which the programs would inherit.
	signal.Notify(make(chan os.Signal, 1), os.Interrupt, syscall.SIGQUIT)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		file := filepath.Join(folder, r.PathValue("namespace"), r.PathValue("pod"), r.PathValue("container"))
		if err := serveLog(w, r, file); err != nil {
			http.Error(w, err.Error(), http.StatusNotFound)
		}
	})
	mux.HandleFunc("/exec/{namespace}/{pod}/{container}", func(w http.ResponseWriter, r *http.Request) {
		// It has to stand in the query, where NewOptions reads it.
		options, err := remotecommand.NewOptions(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		remotecommand.ServeExec(w, r, programs{}, r.PathValue("pod"), "", r.PathValue("container"), r.Form["command"], options,
			time.Hour, 30*time.Second, remotecommand.SupportedStreamingProtocols)
	})
	mux.HandleFunc("/portForward/{namespace}/{pod}", func(w http.ResponseWriter, r *http.Request) {
		options, err := portforward.NewV4Options(r)
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		of := ports{filepath.Join(folder, r.PathValue("namespace"), r.PathValue("pod"))}
		portforward.ServePortForward(w, r, of, r.PathValue("pod"), "", options, time.Hour, 30*time.Second,
			portforward.SupportedProtocols)
	})
	server := &http.Server{Addr: "127.0.0.1:" + port, Handler: mux, TLSConfig: &tls.Config{
		ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: authority(certs), MinVersion: tls.VersionTLS12,
	}}
	return server.ListenAndServeTLS(certs+"/server.pem", certs+"/server-key.pem")
}

func authority(certs string) *x509.CertPool {
	pool := x509.NewCertPool()
	text, err := os.ReadFile(certs + "/ca.pem")
	if err != nil || !pool.AppendCertsFromPEM(text) {
		log.Fatalf("%s/ca.pem: %v", certs, err)
	}
	return pool
}

func register(ctx context.Context, client kubernetes.Interface, name, port string) error {
	number, err := strconv.ParseInt(port, 10, 32)
	if err != nil {
		return err
	}
	nodes := client.CoreV1().Nodes()
	known, err := nodes.Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}}, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		known, err = nodes.Get(ctx, name, metav1.GetOptions{})
	}
	if err != nil {
		return err
	}
	known.Status.Addresses = []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: "127.0.0.1"}}
	known.Status.DaemonEndpoints.KubeletEndpoint.Port = int32(number)
	_, err = nodes.UpdateStatus(ctx, known, metav1.UpdateOptions{})
	return err
}

func serveLog(w http.ResponseWriter, r *http.Request, path string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	query := r.URL.Query()
	since, _ := time.Parse(time.RFC3339, query.Get("sinceTime"))
	var lines []string
	reader := bufio.NewReader(file)
	send := func(line string) {
		stamp, text, _ := strings.Cut(line, " ")
		if at, err := time.Parse(time.RFC3339Nano, stamp); err == nil && at.Before(since) {
			return
		}
		if query.Get("timestamps") == "true" {
			text = line
		}
		lines = append(lines, text)
	}
	flush := func() {
		for _, line := range lines {
			_, _ = io.WriteString(w, line)
		}
		lines = nil
		if flusher, ok := w.(http.Flusher); ok {
			flusher.Flush()
		}
	}
	read := func() {
		for {
			line, err := reader.ReadString('\n')
			if err != nil {
				return
			}
			send(line)
		}
	}
	read()
	if tail, err := strconv.Atoi(query.Get("tailLines")); err == nil && tail < len(lines) {
		lines = lines[len(lines)-tail:]
	}
	flush()
	for query.Get("follow") == "true" && r.Context().Err() == nil {
		_, ended := os.Stat(path + ".end")
		read()
		flush()
		if ended == nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

// Ports of a pod are those of the address of this machine that FOLDER/NAMESPACE/POD/address names.
type ports struct{ folder string }

func (p ports) PortForward(_ context.Context, _, _ string, port int32, stream io.ReadWriteCloser) error {
	address, err := os.ReadFile(filepath.Join(p.folder, "address"))
	if err != nil {
		return err
	}
	there, err := net.Dial("tcp", net.JoinHostPort(string(address), strconv.Itoa(int(port))))
	if err != nil {
		return err
	}
	defer there.Close()
	go func() {
		_, _ = io.Copy(there, stream)
		_ = there.(*net.TCPConn).CloseWrite()
	}()
	_, err = io.Copy(stream, there)
	return err
}

type programs struct{}

func (programs) ExecInContainer(ctx context.Context, _, _, _ string, words []string, in io.Reader, out, errs io.WriteCloser, tty bool, resize <-chan remotecommand.TerminalSize, _ time.Duration) error {
	command := exec.CommandContext(ctx, words[0], words[1:]...)
	command.Dir = "/"
	var err error
	if tty {
		err = onTerminal(command, in, out, resize)
	} else {
		var stdin io.WriteCloser
		if in != nil {
			if stdin, err = command.StdinPipe(); err != nil {
				return err
			}
			go func() { _, _ = io.Copy(stdin, in); _ = stdin.Close() }()
		}
		command.Stdout, command.Stderr = out, errs
		err = command.Run()
	}
	var exited *exec.ExitError
	if errors.As(err, &exited) {
		return utilexec.CodeExitError{Err: err, Code: exited.ExitCode()}
	}
	return err
}

func onTerminal(command *exec.Cmd, in io.Reader, out io.Writer, resize <-chan remotecommand.TerminalSize) error {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer master.Close()
	var number, unlock int32
	if err := ioctl(master, syscall.TIOCGPTN, unsafe.Pointer(&number)); err != nil {
		return err
	}
	if err := ioctl(master, syscall.TIOCSPTLCK, unsafe.Pointer(&unlock)); err != nil {
		return err
	}
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	command.Stdin, command.Stdout, command.Stderr = slave, slave, slave
	command.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := command.Start(); err != nil {
		return err
	}
	slave.Close()
	go func() {
		for size := range resize {
			value := [4]uint16{size.Height, size.Width}
			_ = ioctl(master, syscall.TIOCSWINSZ, unsafe.Pointer(&value))
		}
	}()
	if in != nil {
		go func() { _, _ = io.Copy(master, in) }()
	}
	copied := make(chan struct{})
	go func() { _, _ = io.Copy(out, master); close(copied) }()
	err = command.Wait()
	// What it wrote last is still in the terminal.
	select {
	case <-copied:
	case <-time.After(2 * time.Second):
	}
	return err
}

func ioctl(file *os.File, request uintptr, argument unsafe.Pointer) error {
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, file.Fd(), request, uintptr(argument)); errno != 0 {
		return errno
	}
	return nil
}
