package dibs

import (
	"strings"
	"unicode/utf8"
)

// failureBytesMax is the contract's bound.
const failureBytesMax = 4096

// failureMessage is what the waiters are told of an error: its message, cut to the contract's bound between two
// characters. Bytes that are no UTF-8 become U+FFFD.
func failureMessage(err error) string {
	message := strings.ToValidUTF8(err.Error(), string(utf8.RuneError))
	if len(message) <= failureBytesMax {
		return message
	}
	end := failureBytesMax
	for !utf8.RuneStart(message[end]) {
		end--
	}
	return message[:end]
}
