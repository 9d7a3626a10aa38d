// Commit to the source first, then invalidate: a rebuild that began before cannot bring the old value back.
package main

import (
	"context"
	"fmt"
	"log"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

const key = "example:price"

func main() {
	ctx := context.Background()
	client, err := dibs.New("")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	database := map[string]int{"price": 10}
	read := func() int {
		price, err := dibs.Fetch(ctx, client, key, func(context.Context) (int, error) {
			return database["price"], nil
		}, dibs.WithTTL(time.Minute))
		if err != nil {
			log.Fatal(err)
		}
		return price
	}

	before := read()
	database["price"] = 12
	if _, err := client.Invalidate(ctx, dibs.Invalidation{Keys: []string{key}}); err != nil {
		log.Fatal(err)
	}
	after := read()

	fmt.Printf("%d, then %d\n", before, after)
}
