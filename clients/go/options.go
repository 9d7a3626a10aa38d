package dibs

import (
	"cmp"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/metric"
	"go.opentelemetry.io/otel/trace"
	"google.golang.org/grpc"
)

const (
	defaultTarget = "127.0.0.1:50051"
	// defaultConnect: TCP repeats the first packet that is lost after one second.
	defaultConnect = 2 * time.Second
	// defaultLeaseHoldMax is longer than any rebuild that a caller waits for, and that of the service.
	defaultLeaseHoldMax = 10 * time.Minute
	// holderBytesMax leaves the process id its place within the contract's 256.
	holderBytesMax = 200
)

// Option is one of a [Client].
type Option interface{ applyTo(*config) }

type config struct {
	target          string
	token           tokenSource
	tokenFault      error
	isInsecureToken bool
	tlsCA           string
	tlsCert         string
	tlsKey          string
	connect         time.Duration
	session         bool
	keyAffinity     bool
	holder          string
	hooks           Hooks
	tracer          trace.Tracer
	meters          metric.MeterProvider
	conn            grpc.ClientConnInterface
	log             *slog.Logger
	// near is nil if this process keeps nothing near.
	near *NearCache
	// leaseHoldMax bounds how long one lease is extended in all.
	leaseHoldMax time.Duration
	// calls has the defaults of all calls.
	calls fetchOptions
}

type option func(*config)

func (o option) applyTo(c *config) { o(c) }

// WithConnectTimeout is how long a connection may take before the service counts as out of reach, once for all calls
// and not for each. Default: 2 s.
func WithConnectTimeout(timeout time.Duration) Option {
	return option(func(c *config) { c.connect = timeout })
}

// WithSession says whether all calls go on one stream, with leases that end with this process. Default: true. Where a
// stream cannot be had, calls still go one by one.
func WithSession(session bool) Option { return option(func(c *config) { c.session = session }) }

// WithKeyAffinity gives a key the same replica in every process that uses this target with it, in any language. Callers
// of a key then meet in one place: fewer reads of the store, and memory in one near cache of the service instead of
// all. A key that all processes want is then the burden of one replica. Default: each process has its own shares.
func WithKeyAffinity() Option { return option(func(c *config) { c.keyAffinity = true }) }

// WithHolder is what this process is called in Explain and logs: at most 256 bytes. Default: host name and process id.
func WithHolder(holder string) Option { return option(func(c *config) { c.holder = holder }) }

// WithLogger says where the client tells that the service cannot be reached, and that it is back; at the level Debug
// also what goes wrong with a single key, which it names. Default: that of [slog.Default].
func WithLogger(log *slog.Logger) Option { return option(func(c *config) { c.log = log }) }

// WithLeaseHoldMax is how long one lease may be held in all, by however many extensions, before the client takes it for
// lost: a rebuild that hangs must not keep its key from all others. Default: 10 minutes.
func WithLeaseHoldMax(most time.Duration) Option {
	return option(func(c *config) { c.leaseHoldMax = most })
}

// WithHooks sets the hooks.
func WithHooks(hooks Hooks) Option { return option(func(c *config) { c.hooks = hooks }) }

// WithTracerProvider sets what makes rebuilds' spans. Default: OpenTelemetry's global one, which does nothing unless
// the application has set one.
func WithTracerProvider(provider trace.TracerProvider) Option {
	return option(func(c *config) {
		c.tracer = provider.Tracer(tracerName, trace.WithInstrumentationVersion(Version))
	})
}

// WithConn makes calls over conn, in place of a connection of the client's own to its target; [Client.Close] leaves it
// open. For what [New] has no option for, such as client certificates or interceptors, and for tests.
func WithConn(conn grpc.ClientConnInterface) Option { return option(func(c *config) { c.conn = conn }) }

// configOf is what the caller says, else what the environment says.
func configOf(target string, options []Option) config {
	c := config{
		target:       cmp.Or(target, os.Getenv("DIBS_TARGET"), defaultTarget),
		tlsCA:        os.Getenv("DIBS_TLS_CA"),
		tlsCert:      os.Getenv("DIBS_TLS_CERT"),
		tlsKey:       os.Getenv("DIBS_TLS_KEY"),
		connect:      defaultConnect,
		session:      true,
		leaseHoldMax: defaultLeaseHoldMax,
		holder:       defaultHolder(),
		calls:        fetchOptions{codec: jsonCodec{}},
	}
	c.setToken(os.Getenv("DIBS_TOKEN"))
	if path := os.Getenv("DIBS_TOKEN_FILE"); path != "" && c.token == nil {
		c.setTokenFile(path)
	}
	// One that the application sets later is used as well.
	WithTracerProvider(otel.GetTracerProvider()).applyTo(&c)
	WithMeterProvider(otel.GetMeterProvider()).applyTo(&c)
	for _, option := range options {
		option.applyTo(&c)
	}
	return c
}

func defaultHolder() string {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return fmt.Sprintf("%s/%d", host[:min(len(host), holderBytesMax)], os.Getpid())
}

// refused is why no client is made.
func (c config) refused() error {
	// A function is first asked for a call: what it needs may come later.
	return firstOf(text("holder", c.holder), c.tokenFault, c.nearRefused())
}
