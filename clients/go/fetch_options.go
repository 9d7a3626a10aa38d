package dibs

import (
	"slices"
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// defaultWait is long enough for most rebuilds, and the longest wait of a service with the default configuration.
const defaultWait = 30 * time.Second

// FetchOption is an option of [Fetch] and [FetchMany]. Times are cut to whole milliseconds.
type FetchOption interface{ applyToFetch(*fetchOptions) }

// GetOption is an option of [Get] and of [Fetch].
type GetOption interface {
	FetchOption
	isOfGet()
}

// SetOption is an option of [Set] and of [Fetch].
type SetOption interface {
	FetchOption
	isOfSet()
}

// CallOption is an option of any call.
type CallOption interface {
	GetOption
	SetOption
}

// SharedOption is an option of a call. As an [Option] of a [Client], it is the default of all its calls.
type SharedOption interface {
	Option
	FetchOption
}

// SharedCallOption is an option of any call. As an [Option] of a [Client], it is the default of all its calls.
type SharedCallOption interface {
	Option
	CallOption
}

// Stale is whether a stale value is acceptable.
type Stale = dibsv1.Stale

const (
	// StaleAllow returns a stale value at once while one caller rebuilds.
	StaleAllow = dibsv1.Stale_STALE_ALLOW
	// StaleForbid accepts only a fresh value.
	StaleForbid = dibsv1.Stale_STALE_FORBID
)

// Read is which copies may answer.
type Read = dibsv1.Read

const (
	// ReadNear: the replica's near cache may answer.
	ReadNear = dibsv1.Read_READ_NEAR
	// ReadStore returns nothing that was invalidated before this call began.
	ReadStore = dibsv1.Read_READ_STORE
)

// Revalidate is what a rebuild does if there is a value to serve in the meantime.
type Revalidate int

const (
	// RevalidateBackground serves the value and continues the rebuild.
	RevalidateBackground Revalidate = iota
	// RevalidateAwait waits for the rebuild.
	RevalidateAwait
	// RevalidateAwaitElseStale waits for the rebuild, and serves the value if that fails.
	RevalidateAwaitElseStale
)

// OnUnavailable is what [Fetch] does if the service cannot be reached.
type OnUnavailable int

const (
	// OnUnavailableRebuild rebuilds in this process, one rebuild at a time per key.
	OnUnavailableRebuild OnUnavailable = iota
	// OnUnavailableFail returns the [Error].
	OnUnavailableFail
)

type fetchOptions struct {
	storing
	namespace     string
	wait          duration
	lease         duration
	stale         Stale
	read          Read
	refresh       bool
	revalidate    Revalidate
	onUnavailable OnUnavailable
	traceparent   string
	codec         Codec
	// freshness is where the caller wants the freshness of the value.
	freshness *string
}

type fetchOption func(*fetchOptions)

func (o fetchOption) applyToFetch(f *fetchOptions) { o(f) }

type sharedOption struct{ fetchOption }

func (o sharedOption) applyTo(c *config) { o.applyToFetch(&c.calls) }

type getOption struct{ fetchOption }

func (getOption) isOfGet() {}

type callOption struct{ fetchOption }

func (callOption) isOfGet() {}
func (callOption) isOfSet() {}

type sharedCallOption struct{ sharedOption }

func (sharedCallOption) isOfGet() {}
func (sharedCallOption) isOfSet() {}

// StoringOption is an option of a call, of all calls of a client, and of a single value, see [ForValue].
type StoringOption interface {
	SharedOption
	ValueOption
}

type storingOption struct{ sharedOption }

func (storingOption) isOfSet()   {}
func (storingOption) isOfValue() {}

type tagsOption struct{ fetchOption }

func (tagsOption) isOfSet()   {}
func (tagsOption) isOfValue() {}

// WithTTL sets how long the value is fresh: 1 ms to 365 days. Every [Fetch] and [Set] needs it, or gets it from its
// [Client].
func WithTTL(ttl time.Duration) StoringOption {
	return storingOption{sharedOption{func(f *fetchOptions) { f.ttl = named(ttl) }}}
}

// WithStaleFor sets how long after its TTL the value may be served stale: 0 to 365 days. Default: the namespace's
// policy.
func WithStaleFor(staleFor time.Duration) StoringOption {
	return storingOption{sharedOption{func(f *fetchOptions) { f.staleFor = named(staleFor) }}}
}

// WithAbsentTTL replaces [WithTTL] if the source has nothing. Default: the same.
func WithAbsentTTL(ttl time.Duration) StoringOption {
	return storingOption{sharedOption{func(f *fetchOptions) { f.absentTTL = named(ttl) }}}
}

// WithNamespace sets the namespace of the keys. Default: the service's "default".
func WithNamespace(namespace string) SharedCallOption {
	return sharedCallOption{sharedOption{func(f *fetchOptions) { f.namespace = namespace }}}
}

// WithOnUnavailable sets what to do if the service cannot be reached. Default: [OnUnavailableRebuild].
func WithOnUnavailable(onUnavailable OnUnavailable) SharedOption {
	return sharedOption{func(f *fetchOptions) { f.onUnavailable = onUnavailable }}
}

// WithCodec encodes and decodes values. Default: JSON; a []byte is stored unchanged.
func WithCodec(codec Codec) SharedCallOption {
	return sharedCallOption{sharedOption{func(f *fetchOptions) { f.codec = codec }}}
}

// WithWait sets how long to wait for another caller's rebuild; 0 does not wait. Default: 30 s. For [Get] it is 0, even
// if the [Client] sets another wait.
func WithWait(wait time.Duration) SharedCallOption {
	return sharedCallOption{sharedOption{func(f *fetchOptions) { f.wait = named(wait) }}}
}

// WithLease sets the length of the lease. It is extended during the rebuild. Default: learned by the service.
func WithLease(lease time.Duration) SharedOption {
	return sharedOption{func(f *fetchOptions) { f.lease = named(lease) }}
}

// WithStale sets whether a stale value is acceptable. Default: the namespace's policy.
func WithStale(stale Stale) GetOption {
	return getOption{func(f *fetchOptions) { f.stale = stale }}
}

// WithRead sets which copies may answer. Default: [ReadNear].
func WithRead(read Read) GetOption { return getOption{func(f *fetchOptions) { f.read = read }} }

// WithFreshness makes a call of [Fetch] or [Get] write "fresh" or "stale" to into, for the value that it returns. It
// writes nothing if there is no value. [FetchMany] ignores it.
func WithFreshness(into *string) GetOption {
	return getOption{func(f *fetchOptions) { f.freshness = into }}
}

// WithRefresh rebuilds now, even if the value is fresh, and waits for the rebuild.
func WithRefresh() FetchOption { return fetchOption(func(f *fetchOptions) { f.refresh = true }) }

// WithRevalidate applies if there is a value to serve in the meantime. Default: [RevalidateBackground].
func WithRevalidate(revalidate Revalidate) FetchOption {
	return fetchOption(func(f *fetchOptions) { f.revalidate = revalidate })
}

// WithTags sets tags that invalidate the value: at most 16, each of 1 to 256 bytes.
func WithTags(tags ...string) ValueOption {
	// A copy, because a rebuild behind a stale value reads them when the call has returned.
	its := slices.Clone(tags)
	return tagsOption{func(f *fetchOptions) { f.tags = its }}
}

// WithTraceparent sets the W3C traceparent to pass on. Default: that of the context's OpenTelemetry span.
func WithTraceparent(traceparent string) CallOption {
	return callOption{func(f *fetchOptions) { f.traceparent = traceparent }}
}
