// Package workflows checks that the forge accepts the workflows of continuous integration and of releases.
package workflows

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/rhysd/actionlint"
)

const folder = "../../.github/workflows"

func lint(t *testing.T, path string, text []byte) []string {
	t.Helper()
	// Without the linters for shell and Python, which are not on every machine.
	linter, err := actionlint.NewLinter(&bytes.Buffer{}, &actionlint.LinterOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found, err := linter.Lint(path, text, nil)
	if err != nil {
		t.Fatal(err)
	}
	var said []string
	for _, one := range found {
		said = append(said, one.Error())
	}
	return said
}

func each(t *testing.T, check func(t *testing.T, path string, text []byte)) {
	paths, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil || len(paths) < 2 {
		t.Fatalf("there are %d workflows: %v", len(paths), err)
	}
	for _, path := range paths {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			check(t, path, text)
		})
	}
}

func TestTheForgeAcceptsTheWorkflows(t *testing.T) {
	each(t, func(t *testing.T, path string, text []byte) {
		for _, said := range lint(t, path, text) {
			t.Error(said)
		}
	})
}

// If these passed, the test above would prove nothing.
func TestUnknownKeysAreRefused(t *testing.T) {
	const good = "on: push\njobs:\n  one:\n    runs-on: ubuntu-24.04\n    steps:\n      - run: 'true'\n"
	for _, c := range []struct{ name, from, to, says string }{
		{"nothing is wrong", "", "", ""},
		{"a key is misspelt", "runs-on", "run-on", "run-on"},
		{"an expression has an unknown reference", "'true'", "echo ${{ steps.no.outputs.x }}", `property "no" is not defined`},
		{"a job needs a job that does not exist", "    runs-on", "    needs: two\n    runs-on", `"two"`},
	} {
		t.Run(c.name, func(t *testing.T) {
			said := strings.Join(lint(t, "one.yaml", []byte(strings.Replace(good, c.from, c.to, 1))), "\n")
			if (said == "") != (c.says == "") || !strings.Contains(said, c.says) {
				t.Fatalf("want %q, got %q", c.says, said)
			}
		})
	}
}

func TestForeignTextNeverBecomesAScript(t *testing.T) {
	scripts := regexp.MustCompile(`(?m)^ *(?:- )?run: .*\$\{\{ *(github|inputs|needs|steps)\.`)
	each(t, func(t *testing.T, _ string, text []byte) {
		if found := scripts.Find(text); found != nil {
			t.Errorf("%s: pass it in a variable", found)
		}
		if !strings.Contains(string(text), "\npermissions:\n  contents: read\n") {
			t.Error("grant permissions beyond reading at the job, not at the workflow")
		}
		if checkouts, kept := strings.Count(string(text), "actions/checkout@"), strings.Count(string(text), "persist-credentials: false"); checkouts != kept {
			t.Errorf("%d of %d checkouts leave a token behind", checkouts-kept, checkouts)
		}
	})
}
