package dibs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestTargets(t *testing.T) {
	for text, isLocal := range map[string]bool{
		"127.0.0.1:50051":         true,
		"[::1]:50051":             true,
		"localhost:1":             true,
		"dibs.example:50051":      false,
		"dibs.localhost:1":        false,
		"192.0.2.1:65535":         false,
		"dns:///localhost:1":      true,
		"dns:///dibs:50051":       false,
		"dns://192.0.2.1/dibs:1":  false,
		"dns:dibs:1":              false,
		"unix:///run/dibs.sock":   true,
		"unix:dibs.sock":          true,
		"127.0.0.1:1,localhost:2": true,
		"127.0.0.1:1,192.0.2.1:2": false,
		"passthrough:///anything": false,
		"a.example:1,b.example:2": false,
	} {
		got, err := targetOf(text)
		if err != nil || got.isLocal != isLocal {
			t.Errorf("%s: local %v, %v", text, got.isLocal, err)
		}
	}
	for _, text := range []string{
		"127.0.0.1", "127.0.0.1:port", "127.0.0.1:70000", "127.0.0.1:0", "http://127.0.0.1:50051", "a b:1", ":50051", "dns:///dibs",
		"unix://", "unix:///", "a:1,b", "a:1,,b:2", "user@host:1",
	} {
		client, err := New(text)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(fmt.Sprint(err), "target: ") {
			t.Errorf("%s: %v, %v", text, client, err)
		}
	}
}

func TestATokenIsSentInClearOnlyToThisMachine(t *testing.T) {
	certificate, file := filepath.Join(t.TempDir(), "none.pem"), filepath.Join(t.TempDir(), "token")
	writeToken(t, file, "secret")
	for _, test := range []struct {
		target  string
		options []Option
		refused string
	}{
		{"192.0.2.1:1", []Option{WithToken("secret")}, "token: would be sent unencrypted"},
		{"127.0.0.1:1,192.0.2.1:1", []Option{WithTokenFile(file)}, "token: would be sent unencrypted"},
		{"192.0.2.1:1", []Option{WithTokenFunc(fixedToken("secret"))}, "token: would be sent unencrypted"},
		{"192.0.2.1:1", []Option{WithToken("secret"), WithInsecureToken()}, ""},
		{"127.0.0.1:1", []Option{WithToken("secret")}, ""},
		{"unix:///dibs.sock", []Option{WithToken("secret")}, ""},
		{"192.0.2.1:1", nil, ""},
		{"192.0.2.1:1", []Option{WithTLSCertificate(certificate, certificate)}, "the certificate and its key"},
	} {
		client, err := New(test.target, test.options...)
		if (test.refused == "") != (err == nil) || (err != nil && !strings.Contains(err.Error(), test.refused)) {
			t.Errorf("%s: %v", test.target, err)
		}
		if err == nil {
			_ = client.Close()
		} else if strings.Contains(err.Error(), "secret") {
			t.Errorf("it shows the token: %v", err)
		}
	}
}

func TestNoPrintOfAClientShowsItsToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	writeToken(t, path, "secret")
	of := func(context.Context) (string, error) { return "secret", nil }
	for _, its := range []Option{WithToken("secret"), WithTokenFile(path), WithTokenFunc(of)} {
		showsNoToken(t, its)
	}
}

func showsNoToken(t *testing.T, its Option) {
	t.Helper()
	client, err := New("127.0.0.1:1", its)
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	for _, format := range []string{"%v", "%+v", "%#v", "%s"} {
		if text := fmt.Sprintf(format, client) + fmt.Sprintf(format, *client) + fmt.Sprintf(format, client.config); strings.Contains(text, "secret") {
			t.Errorf("%s shows it", format)
		}
	}
}

func writeToken(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestATokenFileIsReadAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	writeToken(t, path, "one\n")
	synctest.Test(t, func(t *testing.T) {
		file, err := openTokenFile(path)
		if err != nil {
			t.Fatal(err)
		}
		is := func(want string) {
			t.Helper()
			time.Sleep(fileReadEvery)
			if got, err := file.read(t.Context()); got != want || err != nil {
				t.Errorf("got %q, %v", got, err)
			}
		}
		is("one")
		before, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		// Of the same size and times.
		writeToken(t, path, "two\n")
		if err := os.Chtimes(path, before.ModTime(), before.ModTime()); err != nil {
			t.Fatal(err)
		}
		is("two")
		// While it is replaced.
		writeToken(t, path, "")
		is("two")
		writeToken(t, path, "three\nlines\n")
		is("two")
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		is("two")
	})
}

func TestTheTokenOfTheEnvironment(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	writeToken(t, path, "secret of the file\n")
	t.Setenv("DIBS_TOKEN", "")
	t.Setenv("DIBS_TOKEN_FILE", path)
	is := func(want string, options ...Option) {
		t.Helper()
		if got := tokenIn(configOf("", options)); got != want {
			t.Errorf("got %q", got)
		}
	}
	is("secret of the file")
	is("mine", WithToken("mine"))
	is("", WithToken(""))
	t.Setenv("DIBS_TOKEN", "secret")
	is("secret")
	is("secret of the file", WithTokenFile(path))
	// A file counts only where it is what the token comes from.
	t.Setenv("DIBS_TOKEN_FILE", "/nowhere")
	is("secret")
	t.Setenv("DIBS_TOKEN", "")
	is("mine", WithToken("mine"))
	_, err := New("127.0.0.1:1")
	if err == nil || !strings.Contains(err.Error(), "DIBS_TOKEN_FILE") || !strings.Contains(err.Error(), "/nowhere") {
		t.Errorf("got %v", err)
	}
}

func TestNoErrorShowsATokenThatCannotBeSent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	writeToken(t, path, "secret\nof two lines")
	of := func(context.Context) (string, error) { return "secret\n", nil }
	_, text := New("127.0.0.1:1", WithToken("secret\n"))
	_, file := New("127.0.0.1:1", WithTokenFile(path))
	_, call := tokenSource(of).checked(t.Context())
	_, clear := New("192.0.2.1:1", WithToken("secret"))
	fault := errors.New("this is no token: secret")
	_, fails := tokenSource(func(context.Context) (string, error) { return "", fault }).checked(t.Context())
	_, panics := tokenSource(func(context.Context) (string, error) { panic("secret") }).checked(t.Context())
	if !errors.Is(fails, fault) {
		t.Errorf("%v does not wrap its cause", fails)
	}
	for name, err := range map[string]error{
		"text": text, "file": file, "call": call, "clear": clear, "fails": fails, "panics": panics,
	} {
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %#v", err, err, err), "secret") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPatienceCountsOnlyTimeInWhichTheProcessRan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start, ended := time.Now(), make(chan time.Duration, 2)
		newPatience(2*time.Second, func() { ended <- time.Since(start) })
		if took := <-ended; took != 2*time.Second {
			t.Errorf("it took %v", took)
		}
		stopped := newPatience(time.Second, func() { ended <- 0 })
		time.Sleep(500 * time.Millisecond)
		stopped.stop()
		time.Sleep(time.Minute)
		if len(ended) > 0 {
			t.Error("it was stopped")
		}
	})
	// A timer that fires late, however late, is one step.
	its := &patience{step: time.Hour, left: 3, timer: time.NewTimer(time.Hour), end: func() { t.Error("it ended") }}
	its.tick()
	its.tick()
	its.stop()
}

// unaryFor returns for how long calls are unary if a session can be had at the settles-th try. unaryWorks is called that
// many times.
func unaryFor(settles, calls int) (took time.Duration) {
	life := newLifetime()
	s := &sessionOrUnary{sessions: &fakeSessions{settles: settles}, life: life}
	start := time.Now()
	for range calls {
		s.unaryWorks()
	}
	for s.isUnary.Load() {
		time.Sleep(time.Second)
	}
	took = time.Since(start)
	life.close(func() {})
	return took
}

func TestWhereASessionCannotBeHadItIsTriedAgainBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		if took := unaryFor(3, 2); took < 14*time.Second || took > 15*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

func TestASessionThatCannotBeHadForLongIsTriedOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// 2, 4, 8, 16, 32, 60 and 60 s.
		if took := unaryFor(7, 1); took < 182*time.Second || took > 183*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

// fakeSessions can be had at the so manieth try.
type fakeSessions struct {
	sessions
	settles int
}

func (f *fakeSessions) settle(context.Context) error {
	f.settles--
	if f.settles > 0 {
		return errClosed
	}
	return nil
}
