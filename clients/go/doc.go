// Package dibs is the Go client of Dibs. When a cached value is missing or has expired, one caller in the whole
// fleet rebuilds it; everyone else gets its result, a stale value, or an error that says when to come back.
//
//	client, err := dibs.New("")
//	...
//	user, err := dibs.Fetch(ctx, client, "user:42", loadUser, dibs.WithTTL(time.Minute))
//
// One [Client] for each process is enough. [Fetch] does all the steps; [Client.Stub] is the bare contract, for those
// who do them themselves. Package dibstest has a Client for unit tests that needs no service.
package dibs

// Version is that of this module, as its tags say it.
const Version = "0.1.0"
