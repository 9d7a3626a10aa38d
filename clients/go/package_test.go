package dibs_test

import (
	"encoding/json"
	"go/version"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// shop is a program of somebody else's.
const shop = `package main

import (
	"context"
	"fmt"
	"log"
	"time"

	dibs "github.com/dibs-cache/dibs/clients/go"
	"github.com/dibs-cache/dibs/clients/go/dibstest"
)

type user struct{ Name string }

func main() {
	client, err := dibs.New("127.0.0.1:1", dibs.WithNearCache(dibs.NearCache{MaxBytes: 1 << 20}))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	memory := dibstest.New()
	defer memory.Close()
	ada, err := dibs.Fetch(context.Background(), memory.Client, "user:42", func(context.Context) (user, error) {
		return user{"Ada"}, nil
	}, dibs.WithTTL(time.Minute))
	fmt.Println(ada.Name, err)
}
`

// run runs a command of Go in the folder. As for any user, it downloads what it needs.
func run(t *testing.T, folder string, arguments ...string) string {
	t.Helper()
	command := exec.Command("go", arguments...)
	command.Dir = folder
	command.Env = append(os.Environ(), "GOFLAGS=-mod=mod", "GOWORK=off")
	var faults strings.Builder
	command.Stderr = &faults
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(arguments, " "), err, faults.String())
	}
	return string(out)
}

func TestAnEmptyModuleElsewhereUsesThePackage(t *testing.T) {
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	folder := t.TempDir()
	sums, err := os.ReadFile("go.sum")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"main.go": shop, "go.sum": string(sums)} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run(t, folder, "mod", "init", "shop")
	run(t, folder, "mod", "edit", "-go="+module(t).Go,
		"-require=github.com/dibs-cache/dibs/clients/go@v0.0.0", "-replace=github.com/dibs-cache/dibs/clients/go="+here)
	if out := run(t, folder, "run", "."); out != "Ada <nil>\n" {
		t.Errorf("got %q", out)
	}
	// What the tests need is no part of a user's program.
	for used := range strings.FieldsSeq(run(t, folder, "list", "-deps", ".")) {
		if strings.Contains(used, "opentelemetry.io/otel/sdk") || used == "testing" {
			t.Errorf("a program needs %s", used)
		}
	}
}

type goMod struct {
	Go string
}

func module(t *testing.T) goMod {
	t.Helper()
	var its goMod
	if err := json.Unmarshal([]byte(run(t, ".", "mod", "edit", "-json")), &its); err != nil {
		t.Fatal(err)
	}
	return its
}

// Go refuses a module that says less than one that it needs; to say more would keep users away for nothing.
func TestTheModuleNeedsNoLaterGoThanItsDependencies(t *testing.T) {
	latest := ""
	for needed := range strings.FieldsSeq(run(t, ".", "list", "-deps", "-f", "{{with .Module}}{{if not .Main}}{{.GoVersion}}{{end}}{{end}}", ".")) {
		if version.Compare("go"+needed, "go"+latest) > 0 {
			latest = needed
		}
	}
	if its := module(t).Go; its != latest {
		t.Errorf("it says %s, and needs %s", its, latest)
	}
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	if says := "It needs Go " + strings.TrimPrefix(version.Lang("go"+latest), "go") + " or later"; !strings.Contains(string(readme), says) {
		t.Errorf("the README does not say %q", says)
	}
}
