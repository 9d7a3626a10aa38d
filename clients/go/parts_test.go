package dibs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

func TestAFailureMessageIsCutBetweenTwoCharacters(t *testing.T) {
	for _, char := range []string{"x", "é", "漢", "🔑"} {
		for shift := range 4 {
			message := strings.Repeat("x", shift) + strings.Repeat(char, 4096)
			got := failureMessage(errors.New(message))
			if !utf8.ValidString(got) || len(got) > 4096 || len(got) <= 4096-len(char) || !strings.HasPrefix(message, got) {
				t.Errorf("%s after %d: %d bytes", char, shift, len(got))
			}
		}
	}
	if got := failureMessage(errors.New("down\xff")); got != "down\uFFFD" {
		t.Errorf("got %q", got)
	}
}

// allocationsOf is how many a call makes. Goroutines that an earlier test has left behind may make some more meanwhile.
func allocationsOf(call func()) float64 {
	least := testing.AllocsPerRun(100, call)
	for range 9 {
		least = min(least, testing.AllocsPerRun(100, call))
	}
	return least
}

func TestWhereThereIsNoSpanATraceparentCostsNothing(t *testing.T) {
	ctx := context.Background()
	allocations := allocationsOf(func() {
		if traceparentOf(ctx) != "" {
			t.Error("there is one")
		}
	})
	if allocations != 0 {
		t.Errorf("%v allocations", allocations)
	}
}

func TestWordsOfTheContract(t *testing.T) {
	for got, want := range map[string]string{
		word(dibsv1.PublishOutcome_PUBLISH_OUTCOME_STORED_LATE): "stored_late",
		word(dibsv1.LeaseReason_LEASE_REASON_EARLY_REFRESH):     "early_refresh",
		word(dibsv1.BusyReason_BUSY_REASON_WAIT_ENDED):          "wait_ended",
		word(dibsv1.PublishOutcome(99)):                         "unspecified",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestTimesAreBounded(t *testing.T) {
	if milliseconds(-5) != 0 || milliseconds(1500) != 1500*time.Millisecond || milliseconds(math.MaxInt64) <= 0 {
		t.Error("a time of the service is beyond its bounds")
	}
}

func TestErrorsCarryTheHintOfTheService(t *testing.T) {
	for hint, want := range map[string]time.Duration{"250": 250 * time.Millisecond, "0": 0, "-1": noRetry, "soon": noRetry} {
		got := errorOf(status.Error(codes.Unavailable, "gone"), metadata.Pairs("grpc-retry-pushback-ms", hint))
		if got.RetryAfter() != want {
			t.Errorf("%s: %v", hint, got.RetryAfter())
		}
	}
	ms := int64(250)
	got := callErrorOf(&dibsv1.CallError{Code: int32(codes.ResourceExhausted), Message: "key: too many", RetryAfterMs: &ms})
	if got.Code != codes.ResourceExhausted || got.Message != "key: too many" || got.RetryAfter() != 250*time.Millisecond {
		t.Errorf("got %v", got)
	}
	if got := callErrorOf(&dibsv1.CallError{Code: 14}); got.RetryAfter() >= 0 || !got.isUnreachable() {
		t.Errorf("got %v", got)
	}
}

func TestOnlyWhatNobodyAnsweredIsUnreachable(t *testing.T) {
	for code := codes.OK; code <= codes.Unauthenticated; code++ {
		want := code == codes.Unavailable || code == codes.DeadlineExceeded
		if (&Error{Code: code, retryAfter: noRetry}).isUnreachable() != want {
			t.Errorf("%v", code)
		}
		if (&Error{Code: code}).isUnreachable() {
			t.Errorf("%v with a time to come back", code)
		}
	}
}

func tokenIn(c config) string {
	token, _ := c.token.checked(context.Background())
	return token
}

func TestOptions(t *testing.T) {
	host := func(options ...Option) config { return configOf("", options) }
	t.Run("are what the environment says", func(t *testing.T) {
		t.Setenv("DIBS_TARGET", "dns:///dibs:50051")
		t.Setenv("DIBS_TOKEN", "secret")
		t.Setenv("DIBS_TLS_CA", "/ca.pem")
		if got := host(); got.target != "dns:///dibs:50051" || tokenIn(got) != "secret" || got.tlsCA != "/ca.pem" {
			t.Errorf("got %v", got)
		}
	})
	t.Run("are what the caller says rather", func(t *testing.T) {
		t.Setenv("DIBS_TARGET", "elsewhere:1")
		t.Setenv("DIBS_TOKEN", "theirs")
		t.Setenv("DIBS_TLS_CA", "/theirs.pem")
		if got := configOf("here:1", []Option{WithToken("mine"), WithTLSCA("/mine.pem")}); got.target != "here:1" || tokenIn(got) != "mine" || got.tlsCA != "/mine.pem" {
			t.Errorf("got %v", got)
		}
	})
	t.Run("have defaults, also where the environment is empty", func(t *testing.T) {
		t.Setenv("DIBS_TARGET", "")
		t.Setenv("DIBS_TOKEN", "")
		t.Setenv("DIBS_TLS_CA", "")
		got := host()
		if got.target != "127.0.0.1:50051" || got.token != nil || got.tlsCA != "" || got.connect != 2*time.Second || !got.session || !strings.Contains(got.holder, "/") {
			t.Errorf("got %v", got)
		}
	})
}

func TestNewRefusesWhatCannotWork(t *testing.T) {
	for name, options := range map[string][]Option{
		"a file that is not there":   {WithTLSCA("/nowhere/ca.pem")},
		"a holder that is no UTF-8":  {WithHolder("\xff")},
		"a token of several lines":   {WithToken("a\nb")},
		"a file without authorities": {WithTLSCA("go.mod")},
	} {
		if _, err := New("127.0.0.1:1", options...); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
}

func TestNewRefusesByNameWhatWouldOnlyFailLater(t *testing.T) {
	near := func(namespaces ...string) Option {
		return WithNearCache(NearCache{MaxBytes: 1, Namespaces: namespaces})
	}
	for at, test := range []struct {
		want    string
		options []Option
	}{
		{"connect_timeout_ms: 0 is outside 1 to ", []Option{WithConnectTimeout(0)}},
		{"connect_timeout_ms: -1 is outside 1 to ", []Option{WithConnectTimeout(-time.Nanosecond)}},
		{"lease_hold_max_ms: 0 is outside 1 to ", []Option{WithLeaseHoldMax(0)}},
		{"lease_hold_max_ms: -1000 is outside 1 to ", []Option{WithLeaseHoldMax(-time.Second)}},
		{"holder: 257 bytes is outside 0 to 256", []Option{WithHolder(strings.Repeat("x", 257))}},
		{`near_cache: the namespace "a b" is not`, []Option{near("default", "a b")}},
		{`near_cache: the namespace "\xff" is not`, []Option{near("\xff")}},
		{`near_cache: the namespace "ä" is not`, []Option{near(), WithNamespace("ä")}},
		{"near_cache: the namespace ", []Option{near(strings.Repeat("x", 65))}},
		{"codec: is nil", []Option{WithCodec(nil)}},
		{"token: the function is nil", []Option{WithTokenFunc(nil)}},
	} {
		client, err := New("127.0.0.1:1", test.options...)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%d: %v, and not %s", at, err, test.want)
		}
		if client != nil {
			_ = client.Close()
		}
	}
	for _, options := range [][]Option{
		{WithConnectTimeout(time.Microsecond), WithLeaseHoldMax(time.Microsecond), WithHolder(strings.Repeat("x", 256))},
		{near(strings.Repeat("x", 64), "", "aZ09_.-"), WithNamespace("ä")},
	} {
		client, err := New("127.0.0.1:1", options...)
		if err != nil {
			t.Fatal(err)
		}
		_ = client.Close()
	}
}

func TestFetchRefusesWhatWouldBreakTheCallsOfOthers(t *testing.T) {
	client, err := New("127.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	ttl := WithTTL(time.Minute)
	for want, options := range map[string][]FetchOption{
		"ttl_ms: ":      {},
		"namespace: ":   {ttl, WithNamespace("\xff")},
		"tags: ":        {ttl, WithTags("a", "\xff")},
		"traceparent: ": {ttl, WithTraceparent("a\n")},
		"codec: ":       {ttl, WithCodec(nil)},
	} {
		_, err := Fetch(t.Context(), client, "k", func(context.Context) (string, error) { return "", nil }, options...)
		if status.Code(err) != codes.InvalidArgument || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	_, err = Fetch(t.Context(), client, "\xff", func(context.Context) (string, error) { return "", nil }, ttl)
	if status.Code(err) != codes.InvalidArgument {
		t.Errorf("key: %v", err)
	}
	if _, err := client.Invalidate(t.Context(), Invalidation{Keys: []string{"\xff"}}); status.Code(err) != codes.InvalidArgument {
		t.Errorf("keys: %v", err)
	}
}

// Both run in goroutines of the client, where a panic would end the process.
func TestATokenOrALogThatPanicsHarmsNobody(t *testing.T) {
	t.Run("token", func(t *testing.T) {
		for _, session := range []bool{true, false} {
			client, err := New("", WithConn(playedConn{}), WithSession(session), WithTTL(time.Minute),
				WithTokenFunc(func(context.Context) (string, error) { panic("no token") }))
			if err != nil {
				t.Fatal(err)
			}
			_, err = Fetch(t.Context(), client, "k", func(context.Context) (string, error) { return "v", nil })
			own, isOwn := as[*Error](err)
			if !isOwn || own.Code != codes.InvalidArgument || !strings.Contains(own.Unwrap().Error(), "no token") {
				t.Errorf("got %v", err)
			}
			_ = client.Close()
		}
	})
	t.Run("log", func(t *testing.T) {
		its := &presence{log: slog.New(panicking{})}
		its.lost(errClosed)
		if !its.answers() {
			t.Error("it was not lost")
		}
	})
}

// panicking is a handler of a log.
type panicking struct{ slog.Handler }

func (panicking) Enabled(context.Context, slog.Level) bool  { return true }
func (panicking) Handle(context.Context, slog.Record) error { panic("no disk") }

func TestAHookThatPanicsHarmsNobody(t *testing.T) {
	tell(func(HitEvent) { panic("a counter that fails") }, HitEvent{})
	tell(nil, HitEvent{})
}
