package main

import (
	"context"
	"fmt"
	"log"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
)

type User struct{ Name string }

func main() {
	client, err := dibs.New("") // DIBS_TARGET, else 127.0.0.1:50051
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	user, err := dibs.Fetch(context.Background(), client, "user:42", func(context.Context) (User, error) {
		return User{Name: "Ada"}, nil // your database
	}, dibs.WithTTL(time.Minute), dibs.WithStaleFor(10*time.Minute))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(user.Name)
}
