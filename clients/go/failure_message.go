package dibs

import (
	"strings"
	"unicode/utf8"
)

// failureBytesMax is the contract's bound.
const failureBytesMax = 4096

// failureMessage returns the message of an error for the waiters.
func failureMessage(err error) string { return cutMessage(textOf(err)) }

// cutMessage cuts a message to the contract's bound, between two characters. Bytes that are not UTF-8 become U+FFFD.
func cutMessage(message string) string {
	message = strings.ToValidUTF8(message, string(utf8.RuneError))
	if len(message) <= failureBytesMax {
		return message
	}
	end := failureBytesMax
	for !utf8.RuneStart(message[end]) {
		end--
	}
	return message[:end]
}
