package dibs

import (
	"errors"
	"os"
	"regexp"
	"strings"
)

// shownPathMax is longer than paths usually are, and shorter than most private keys.
const shownPathMax = 255

var (
	// pemText is PEM, also in base64, or only what stands within its lines.
	pemText = regexp.MustCompile(`-----BEGIN|^\s*LS0tLS1CRUdJTi|^\s*M[A-Za-z0-9+/_-]{60,}={0,2}\s*$`)
	// beginsWithFolder is how a path begins. A token may be any text, so only such a value counts as a path.
	beginsWithFolder = regexp.MustCompile(`^(?:[A-Za-z]:|~|\.\.?)?[\\/]`)
	// randomText is what a token in base64 has, which may begin with a slash too.
	randomText = regexp.MustCompile(`[+=]|[A-Za-z0-9]{20}`)

	errLooksLikeContent = errors.New("it cannot be read, and looks like the content of a file; set the path of the file")
	errMayBeContent     = errors.New("it cannot be read, and may be the content of a file; set the path of the file")
)

// pemAt returns the content of a PEM file. Its error does not repeat a private key that is set where its path belongs.
func pemAt(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil && maybeContent(path) {
		return nil, errLooksLikeContent
	}
	return text, err
}

// tokenAt returns the content of a file with a token. Its error does not repeat a token that is set where its path
// belongs.
func tokenAt(path string) ([]byte, error) {
	text, err := os.ReadFile(path)
	if err != nil && (maybeContent(path) || !beginsWithFolder.MatchString(path) || randomText.MatchString(path)) {
		return nil, errMayBeContent
	}
	return text, err
}

func maybeContent(path string) bool {
	return len(path) > shownPathMax || strings.ContainsAny(path, "\r\n") || pemText.MatchString(path)
}
