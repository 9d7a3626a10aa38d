package dibs

import (
	"time"

	"github.com/dibs-cache/dibs/clients/go/dibsv1"
)

// defaultWait is long enough for most rebuilds, and what the service waits at the most unless told otherwise.
const defaultWait = 30 * time.Second

// FetchOption is one of a call of [Fetch] or [FetchMany]. Times are cut to whole milliseconds.
type FetchOption interface{ applyToFetch(*fetchOptions) }

// GetOption is one of a call of [Get], and of [Fetch].
type GetOption interface {
	FetchOption
	isOfGet()
}

// SetOption is one of a call of [Set], and of [Fetch].
type SetOption interface {
	FetchOption
	isOfSet()
}

// CallOption is one of any call.
type CallOption interface {
	GetOption
	SetOption
}

// SharedOption is one of a call, and as an [Option] of a [Client] one of all its calls that do not name it.
type SharedOption interface {
	Option
	FetchOption
}

// SharedCallOption is one of any call, and as an [Option] of a [Client] one of all its calls that do not name it.
type SharedCallOption interface {
	Option
	CallOption
}

// Stale is whether a stale value is a good answer.
type Stale = dibsv1.Stale

const (
	// StaleAllow: a stale value is answered at once while one caller rebuilds.
	StaleAllow = dibsv1.Stale_STALE_ALLOW
	// StaleForbid: only a fresh value counts.
	StaleForbid = dibsv1.Stale_STALE_FORBID
)

// Read is how far a read may trust copies.
type Read = dibsv1.Read

const (
	// ReadNear: the replica's near cache may answer.
	ReadNear = dibsv1.Read_READ_NEAR
	// ReadStore: nothing that was invalidated before this call began is returned.
	ReadStore = dibsv1.Read_READ_STORE
)

// Revalidate is what becomes of a rebuild where there is a value to serve meanwhile.
type Revalidate int

const (
	// RevalidateBackground serves the value and lets the rebuild go on.
	RevalidateBackground Revalidate = iota
	// RevalidateAwait waits for the rebuild.
	RevalidateAwait
	// RevalidateAwaitElseStale waits for the rebuild, and serves the value where that fails.
	RevalidateAwaitElseStale
)

// OnUnavailable is what [Fetch] does when the service cannot be reached.
type OnUnavailable int

const (
	// OnUnavailableRebuild rebuilds in this process, one at a time for each key.
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
	// freshness is where the caller wants to read how good the value was.
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

// StoringOption is one of a call, of all calls of a client, and of a single value, see [ForValue].
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

// WithTTL is how long the value is fresh: 1 ms to 365 days. Every [Fetch] and [Set] needs it, or has it from its
// [Client].
func WithTTL(ttl time.Duration) StoringOption {
	return storingOption{sharedOption{func(f *fetchOptions) { f.ttl = named(ttl) }}}
}

// WithStaleFor is how long after its TTL the value may be served stale: 0 to 365 days. Default: as the namespace's
// policy says.
func WithStaleFor(staleFor time.Duration) StoringOption {
	return storingOption{sharedOption{func(f *fetchOptions) { f.staleFor = named(staleFor) }}}
}

// WithAbsentTTL is in place of [WithTTL] for the knowledge that there is nothing. Default: the same.
func WithAbsentTTL(ttl time.Duration) StoringOption {
	return storingOption{sharedOption{func(f *fetchOptions) { f.absentTTL = named(ttl) }}}
}

// WithNamespace is where the keys are. Default: the service's "default".
func WithNamespace(namespace string) SharedCallOption {
	return sharedCallOption{sharedOption{func(f *fetchOptions) { f.namespace = namespace }}}
}

// WithOnUnavailable is what to do when the service cannot be reached. Default: [OnUnavailableRebuild].
func WithOnUnavailable(onUnavailable OnUnavailable) SharedOption {
	return sharedOption{func(f *fetchOptions) { f.onUnavailable = onUnavailable }}
}

// WithCodec is how values become bytes and come back. Default: JSON, with []byte as it is.
func WithCodec(codec Codec) SharedCallOption {
	return sharedCallOption{sharedOption{func(f *fetchOptions) { f.codec = codec }}}
}

// WithWait is how long to wait for another caller's rebuild; 0 does not wait. Default: 30 s, and 0 for [Get], also where
// the [Client] has another.
func WithWait(wait time.Duration) SharedCallOption {
	return sharedCallOption{sharedOption{func(f *fetchOptions) { f.wait = named(wait) }}}
}

// WithLease is how long the lease lasts before it is extended, which it is while the rebuild runs. Default: learned by
// the service.
func WithLease(lease time.Duration) SharedOption {
	return sharedOption{func(f *fetchOptions) { f.lease = named(lease) }}
}

// WithStale says whether a stale value is a good answer. Default: as the namespace's policy says.
func WithStale(stale Stale) GetOption {
	return getOption{func(f *fetchOptions) { f.stale = stale }}
}

// WithRead says how far copies may be trusted. Default: [ReadNear].
func WithRead(read Read) GetOption { return getOption{func(f *fetchOptions) { f.read = read }} }

// WithFreshness has the call of [Fetch] or [Get] write "fresh" or "stale" to into, of the value that it returns, and
// nothing where it returns none. [FetchMany] has no use for it.
func WithFreshness(into *string) GetOption {
	return getOption{func(f *fetchOptions) { f.freshness = into }}
}

// WithRefresh rebuilds now, although the value may be fresh, and waits for the rebuild.
func WithRefresh() FetchOption { return fetchOption(func(f *fetchOptions) { f.refresh = true }) }

// WithRevalidate is for where there is a value to serve meanwhile. Default: [RevalidateBackground].
func WithRevalidate(revalidate Revalidate) FetchOption {
	return fetchOption(func(f *fetchOptions) { f.revalidate = revalidate })
}

// WithTags are names to invalidate the value by: at most 16, each of 1 to 256 bytes.
func WithTags(tags ...string) ValueOption {
	return tagsOption{func(f *fetchOptions) { f.tags = tags }}
}

// WithTraceparent is the W3C traceparent to pass on. Default: that of the OpenTelemetry span of the context.
func WithTraceparent(traceparent string) CallOption {
	return callOption{func(f *fetchOptions) { f.traceparent = traceparent }}
}
