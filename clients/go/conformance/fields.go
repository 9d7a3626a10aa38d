package main

import (
	"encoding/json"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

// fields are those of all commands. Times are milliseconds.
type fields struct {
	Client        string          `json:"client"`
	Target        string          `json:"target"`
	Namespace     *string         `json:"namespace"`
	Holder        *string         `json:"holder"`
	Token         *string         `json:"token"`
	Session       *bool           `json:"session"`
	OnUnavailable string          `json:"on_unavailable"`
	ConnectMs     *int64          `json:"connect_ms"`
	Call          string          `json:"call"`
	Key           string          `json:"key"`
	TTLMs         int64           `json:"ttl_ms"`
	StaleMs       *int64          `json:"stale_ms"`
	AbsentTTLMs   *int64          `json:"absent_ttl_ms"`
	Tags          []string        `json:"tags"`
	WaitMs        *int64          `json:"wait_ms"`
	LeaseMs       *int64          `json:"lease_ms"`
	Stale         string          `json:"stale"`
	Read          string          `json:"read"`
	Refresh       bool            `json:"refresh"`
	Revalidate    string          `json:"revalidate"`
	Traceparent   string          `json:"traceparent"`
	DeadlineMs    *int64          `json:"deadline_ms"`
	Rebuild       script          `json:"rebuild"`
	Gate          string          `json:"gate"`
	Method        string          `json:"method"`
	Request       json.RawMessage `json:"request"`
	Calls         int             `json:"calls"`
	InFlight      int             `json:"in_flight"`
}

var unavailable = map[string]dibs.OnUnavailable{
	"rebuild": dibs.OnUnavailableRebuild,
	"fail":    dibs.OnUnavailableFail,
}

func milliseconds(ms int64) time.Duration { return time.Duration(ms) * time.Millisecond }

// clientOptions are those that the command names.
func (f fields) clientOptions(hooks dibs.Hooks) []dibs.Option {
	options := []dibs.Option{dibs.WithHooks(hooks)}
	if f.Namespace != nil {
		options = append(options, dibs.WithNamespace(*f.Namespace))
	}
	if f.Holder != nil {
		options = append(options, dibs.WithHolder(*f.Holder))
	}
	if f.Token != nil {
		options = append(options, dibs.WithToken(*f.Token))
	}
	if f.Session != nil {
		options = append(options, dibs.WithSession(*f.Session))
	}
	if f.ConnectMs != nil {
		options = append(options, dibs.WithConnectTimeout(milliseconds(*f.ConnectMs)))
	}
	if what, ok := unavailable[f.OnUnavailable]; ok {
		options = append(options, dibs.WithOnUnavailable(what))
	}
	return options
}

// fetchOptions are those that the command names.
func (f fields) fetchOptions() []dibs.FetchOption {
	options := []dibs.FetchOption{
		dibs.WithTTL(milliseconds(f.TTLMs)),
		dibs.WithTags(f.Tags...),
		dibs.WithTraceparent(f.Traceparent),
		dibs.WithStale(map[string]dibs.Stale{"allow": dibs.StaleAllow, "forbid": dibs.StaleForbid}[f.Stale]),
		dibs.WithRead(map[string]dibs.Read{"near": dibs.ReadNear, "store": dibs.ReadStore}[f.Read]),
	}
	times := []struct {
		ms   *int64
		with func(time.Duration) dibs.FetchOption
	}{
		{f.StaleMs, func(d time.Duration) dibs.FetchOption { return dibs.WithStaleFor(d) }},
		{f.AbsentTTLMs, func(d time.Duration) dibs.FetchOption { return dibs.WithAbsentTTL(d) }},
		{f.WaitMs, func(d time.Duration) dibs.FetchOption { return dibs.WithWait(d) }},
		{f.LeaseMs, func(d time.Duration) dibs.FetchOption { return dibs.WithLease(d) }},
	}
	for _, time := range times {
		if time.ms != nil {
			options = append(options, time.with(milliseconds(*time.ms)))
		}
	}
	if f.Namespace != nil {
		options = append(options, dibs.WithNamespace(*f.Namespace))
	}
	if f.Refresh {
		options = append(options, dibs.WithRefresh())
	}
	if f.Revalidate == "await" {
		options = append(options, dibs.WithRevalidate(dibs.RevalidateAwait))
	}
	if what, ok := unavailable[f.OnUnavailable]; ok {
		options = append(options, dibs.WithOnUnavailable(what))
	}
	return options
}
