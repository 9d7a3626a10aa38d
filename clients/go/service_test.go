package dibs_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

const repository = "../.."

var listening = regexp.MustCompile(`dibs listening grpc=(\S+)`)

// realService is the service itself, on its embedded default, in a process of its own.
type realService struct {
	target  string
	process *exec.Cmd
}

// startService starts one that the test ends; env is all that it has beside PATH.
func startService(t *testing.T, env ...string) *realService {
	t.Helper()
	main, err := filepath.Abs(filepath.Join(repository, "dist/main.js"))
	if err != nil {
		t.Fatal(err)
	}
	node := exec.Command("node", main)
	node.Env = append([]string{"PATH=" + os.Getenv("PATH"), "DIBS_LISTEN=127.0.0.1:0", "DIBS_HTTP_LISTEN=127.0.0.1:0", "DIBS_LOG_LEVEL=error"}, env...)
	node.Stderr = os.Stderr
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatalf("the service does not start, is the repository built? %v", err)
	}
	service := &realService{process: node}
	t.Cleanup(service.kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	found := listening.FindStringSubmatch(line)
	if err != nil || found == nil {
		t.Fatalf("the service does not listen: %q, %v", line, err)
	}
	service.target = found[1]
	return service
}

// kill is kill -9.
func (s *realService) kill() {
	_ = s.process.Process.Kill()
	_ = s.process.Wait()
}

// client makes one that the test closes. On a busy machine the service may take seconds for its first answer, and is
// not out of reach then.
func client(t *testing.T, target string, options ...dibs.Option) *dibs.Client {
	t.Helper()
	made, err := dibs.New(target, append([]dibs.Option{dibs.WithConnectTimeout(time.Minute)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = made.Close() })
	return made
}

// nowhere is an address without a listener.
func nowhere(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

var keys atomic.Int64

// freshKey is a key that no other test uses.
func freshKey() string { return fmt.Sprintf("key %d", keys.Add(1)) }

// returning is a rebuild that returns the value at once.
func returning[T any](value T) func(context.Context) (T, error) {
	return func(context.Context) (T, error) { return value, nil }
}

// failing is a rebuild that fails at once.
func failing(err error) func(context.Context) (string, error) {
	return func(context.Context) (string, error) { return "", err }
}

// eventually fails the test if it does not come about within a minute.
func eventually(t *testing.T, what string, isSo func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !isSo(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never happened: %s", what)
		}
	}
}

// receive fails the test if nothing comes within a minute.
func receive[T any](t *testing.T, what string, from <-chan T) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(time.Minute):
		t.Fatalf("it never came: %s", what)
		panic("unreachable")
	}
}

// fetched is how a Fetch ended.
type fetched[T any] struct {
	value T
	err   error
}

// behind fetches in a goroutine of its own.
func behind[T any](fetch func() (T, error)) <-chan fetched[T] {
	done := make(chan fetched[T], 1)
	go func() {
		value, err := fetch()
		done <- fetched[T]{value, err}
	}()
	return done
}

// want fails the test where the fetch did not end with the value.
func want[T comparable](t *testing.T, value T, err error, expected T) {
	t.Helper()
	if err != nil || value != expected {
		t.Fatalf("got %v and %v, want %v", value, err, expected)
	}
}
