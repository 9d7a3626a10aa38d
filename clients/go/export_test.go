package dibs

import "github.com/dibs-cache/dibs/clients/go/dibsv1"

// CallersOf is how many callers of this process wait for a key of the default namespace: for an answer, or for a
// rebuild that runs here.
func CallersOf(c *Client, key string) int {
	c.flights.mu.Lock()
	defer c.flights.mu.Unlock()
	callers := 0
	for its := range c.flights.underWay[valueID{"default", key}] {
		callers += its.callers
	}
	return callers
}

// RequestsOf are the requests of an invalidation.
func RequestsOf(what Invalidation) []*dibsv1.InvalidateRequest { return what.requests("default") }
