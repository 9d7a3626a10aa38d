package dibs_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func TestExamplesDoWhatTheySay(t *testing.T) {
	bin := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", bin, "./examples/...").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	service := startService(t)
	for name, expected := range map[string]string{
		"start":                  "Ada\n",
		"rebuild-once":           "Ada and Ada after 1 query\n",
		"stale-while-revalidate": "page 1, then page 1 at once, then page 2\n",
		"invalidate-on-write":    "10, then 12\n",
	} {
		var said []string
		// Their times are short, and a busy machine may make any of them late. Then they say so, and have left a value.
		for len(said) < 5 && !slices.Contains(said, expected) {
			if len(said) > 0 {
				service = startService(t)
			}
			example := exec.Command(filepath.Join(bin, name))
			example.Env = append(os.Environ(), "DIBS_TARGET="+service.target)
			out, err := example.CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v, %q", name, err, out)
			}
			said = append(said, string(out))
		}
		if !slices.Contains(said, expected) {
			t.Errorf("%s: %q", name, said)
		}
	}
}

func TestTheStartInTheReadmeIsAnExample(t *testing.T) {
	readme, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("examples/start/main.go")
	if err != nil {
		t.Fatal(err)
	}
	block := regexp.MustCompile("(?s)```go\n(.*?)```").FindSubmatch(readme)
	body := regexp.MustCompile(`(?s)func main\(\) \{\n(.*)\}\n$`).FindSubmatch(example)
	if block == nil || body == nil || string(block[1]) != strings.ReplaceAll("\n"+string(body[1]), "\n\t", "\n")[1:] {
		t.Error("it is not what the example does")
	}
	if lines := strings.Count(string(block[1]), "\n"); lines > 12 {
		t.Errorf("it has %d lines", lines)
	}
}
