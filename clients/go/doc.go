// Package dibs is the Go client of Dibs. When a cached value is missing or has expired, one caller in the whole fleet
// rebuilds it. All others get its result, a stale value, or an error that says when to retry.
//
//	client, err := dibs.New("")
//	...
//	user, err := dibs.Fetch(ctx, client, "user:42", loadUser, dibs.WithTTL(time.Minute))
//
// One [Client] per process is enough. [Fetch] performs all steps. [Client.Stub] is the bare contract, for code that
// performs them itself. Package dibstest has a Client for unit tests that needs no service.
package dibs

// Version is the version of this module, as in its tags.
const Version = "0.1.0"
