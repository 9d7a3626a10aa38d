package deploy

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The Secret keys that the Pods of an installation read.
func secretKeys(t *testing.T, name string) []string {
	t.Helper()
	keys := map[string]bool{}
	for _, w := range workloads(render(t, name)) {
		for _, c := range w.containers() {
			for _, v := range c.Env {
				if v.ValueFrom != nil && v.ValueFrom.SecretKeyRef != nil && v.ValueFrom.SecretKeyRef.Name == "dibs-redis" {
					keys[v.ValueFrom.SecretKeyRef.Key] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// A quick start creates every password that the Pods wait for.
func TestQuickStartsCreateTheSecretThatPodsRead(t *testing.T) {
	wanted := secretKeys(t, "helm/one-node")
	for _, page := range []string{
		"README.md", "deploy/helm/README.md", "deploy/kubernetes/README.md", "deploy/helm/dibs/templates/NOTES.txt",
	} {
		var made []string
		for _, literal := range regexp.MustCompile(`--from-literal=([\w-]+)="\$\(openssl`).FindAllStringSubmatch(read(t, page), -1) {
			made = append(made, literal[1])
		}
		slices.Sort(made)
		if !slices.Equal(made, wanted) {
			t.Errorf("%s creates %v, and the Pods read %v", page, made, wanted)
		}
	}
}

func TestPagesOfTheChartsNameExistingFilesAndValues(t *testing.T) {
	page := read(t, "deploy/helm/README.md")
	for _, path := range regexp.MustCompile(`deploy/helm/[\w./-]*\w`).FindAllString(page+read(t, "README.md"), -1) {
		if _, err := os.Stat(filepath.Join("..", "..", path)); err != nil {
			t.Error(err)
		}
	}
	known := loadChart(t, filepath.Join(helm, "dibs")).Values
	_, table, _ := strings.Cut(page, "| you want")
	rows := strings.Split(strings.Split(table, "\n\n")[0], "\n")[2:]
	if len(rows) < 8 {
		t.Errorf("only %d rows", len(rows))
	}
	for _, row := range rows {
		cells := strings.Split(row, "|")
		for _, example := range regexp.MustCompile("`([\\w-]+\\.yaml)`").FindAllStringSubmatch(cells[3], -1) {
			if _, err := os.Stat(filepath.Join(helm, "dibs", "examples", example[1])); err != nil {
				t.Error(err)
			}
		}
		for _, name := range regexp.MustCompile("`([a-z][A-Za-z]*)(?:\\.([a-zA-Z]+))?(?:: false)?`").FindAllStringSubmatch(cells[2], -1) {
			section, there := known[name[1]]
			if !there {
				t.Errorf("there is no value %s", name[1])
			} else if of, is := section.(map[string]any); name[2] != "" && is {
				if _, there := of[name[2]]; !there {
					t.Errorf("there is no value %s.%s", name[1], name[2])
				}
			}
		}
	}
}
