package dibs

import (
	"strings"

	"google.golang.org/protobuf/reflect/protoreflect"
)

// word returns an enum value's name in the contract, in lower case and without the common prefix; "unspecified" for a
// value that this version does not know.
func word(value protoreflect.Enum) string {
	values := value.Descriptor().Values()
	zero := string(values.ByNumber(0).Name())
	known := values.ByNumber(value.Number())
	if known == nil {
		return "unspecified"
	}
	return strings.ToLower(strings.TrimPrefix(string(known.Name()), strings.TrimSuffix(zero, "UNSPECIFIED")))
}
