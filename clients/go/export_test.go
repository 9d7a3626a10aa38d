package dibs

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
