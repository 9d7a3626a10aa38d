package dibs

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// UnencodableError is a value that JSON cannot carry: NaN or an infinity, a channel, a function, a complex number, a
// cycle, or text that is not UTF-8. It is reported before anything is stored.
type UnencodableError struct {
	// Place is the path in the value, such as "items[3].price"; empty for the value itself.
	Place string
	// Err is the fault there.
	Err error
}

func (e *UnencodableError) Unwrap() error { return e.Err }
func (e *UnencodableError) Error() string {
	if e.Place == "" {
		return fmt.Sprintf("dibs: the value cannot be JSON: %v", e.Err)
	}
	return fmt.Sprintf("dibs: the value cannot be JSON at %s: %v", e.Place, e.Err)
}

var errNoUTF8 = errors.New("this string is not UTF-8")

// replaced is what the encoder writes for bytes that are not UTF-8. Readers would get another text.
var replaced = []byte(`\ufffd`)

func marshalJSON(value any) ([]byte, error) {
	text, err := json.Marshal(value)
	if err == nil && !bytes.Contains(text, replaced) && utf8.Valid(text) {
		return text, nil
	}
	faults := jsonFaults{above: make(map[visit]bool)}
	switch place, found := faults.in(reflect.ValueOf(value)); {
	case found == nil && err == nil:
		return text, nil
	case err != nil:
		return nil, &UnencodableError{place, err}
	default:
		return nil, &UnencodableError{place, found}
	}
}

// jsonFaults finds where a value cannot be JSON. It runs only if something is wrong, so it may take its time.
type jsonFaults struct {
	// above are the values around the current place. Meeting one again is a cycle.
	above map[visit]bool
}

type visit struct {
	at   uintptr
	len  int
	kind reflect.Type
}

var (
	jsonMarshaler = reflect.TypeFor[json.Marshaler]()
	textMarshaler = reflect.TypeFor[encoding.TextMarshaler]()
)

// in returns the first fault, and its place below the value.
func (f *jsonFaults) in(value reflect.Value) (place string, err error) {
	if !value.IsValid() {
		return "", nil
	}
	if own, isOwn := ownJSON(value); isOwn {
		return "", ownFault(own)
	}
	switch value.Kind() {
	case reflect.Float32, reflect.Float64:
		if its := value.Float(); math.IsNaN(its) || math.IsInf(its, 0) {
			return "", fmt.Errorf("%v", its)
		}
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return "", fmt.Errorf("a %v", value.Type())
	case reflect.String:
		return "", textFault(value.String())
	case reflect.Interface:
		return f.in(value.Elem())
	case reflect.Pointer, reflect.Map, reflect.Slice:
		return f.inReference(value)
	case reflect.Array:
		return f.inElements(value)
	case reflect.Struct:
		return f.inFields(value)
	}
	return "", nil
}

func (f *jsonFaults) inReference(value reflect.Value) (place string, err error) {
	if value.IsNil() {
		return "", nil
	}
	its := visit{at: value.Pointer(), kind: value.Type()}
	if value.Kind() == reflect.Slice {
		its.len = value.Len()
	}
	if f.above[its] {
		return "", errors.New("a cycle: it is within itself")
	}
	f.above[its] = true
	defer delete(f.above, its)
	switch value.Kind() {
	case reflect.Pointer:
		return f.in(value.Elem())
	case reflect.Map:
		return f.inEntries(value)
	default:
		return f.inElements(value)
	}
}

func (f *jsonFaults) inElements(value reflect.Value) (place string, err error) {
	for at := range value.Len() {
		if below, err := f.in(value.Index(at)); err != nil {
			return join("["+strconv.Itoa(at)+"]", below), err
		}
	}
	return "", nil
}

func (f *jsonFaults) inEntries(value reflect.Value) (place string, err error) {
	for entries := value.MapRange(); entries.Next(); {
		key := keyText(entries.Key())
		if err := textFault(key); err != nil {
			return "", fmt.Errorf("the key %q: %w", key, err)
		}
		if below, err := f.in(entries.Value()); err != nil {
			return join(key, below), err
		}
	}
	return "", nil
}

func (f *jsonFaults) inFields(value reflect.Value) (place string, err error) {
	for at := range value.NumField() {
		field := value.Type().Field(at)
		name, rest, _ := strings.Cut(field.Tag.Get("json"), ",")
		isLeftOut := (strings.Contains(rest, "omitempty") || strings.Contains(rest, "omitzero")) && value.Field(at).IsZero()
		if (name == "-" && rest == "") || isLeftOut || !(field.IsExported() || field.Anonymous) {
			continue
		}
		below, err := f.in(value.Field(at))
		switch {
		case err == nil:
		case field.Anonymous && name == "":
			return below, err
		case name == "":
			return join(field.Name, below), err
		default:
			return join(name, below), err
		}
	}
	return "", nil
}

// ownJSON returns a value that encodes itself as JSON, or the pointer to it that does.
func ownJSON(value reflect.Value) (own reflect.Value, isOwn bool) {
	if isOwnJSON(value.Type()) {
		return value, true
	}
	if value.CanAddr() && isOwnJSON(reflect.PointerTo(value.Type())) {
		return value.Addr(), true
	}
	return value, false
}

func isOwnJSON(its reflect.Type) bool {
	return its.Implements(jsonMarshaler) || its.Implements(textMarshaler) || its == reflect.TypeFor[json.Number]()
}

func ownFault(value reflect.Value) error {
	if !value.CanInterface() {
		return nil
	}
	its := value.Interface()
	text, err := json.Marshal(its)
	if err != nil || isNil(its) {
		return err
	}
	if _, isJSON := its.(json.Marshaler); isJSON {
		return textFault(string(text))
	}
	if its, isText := its.(encoding.TextMarshaler); isText {
		text, err := its.MarshalText()
		return cmp.Or(err, textFault(string(text)))
	}
	return nil
}

// keyText is the text that JSON has for the key of a map.
func keyText(key reflect.Value) string {
	if key.Kind() == reflect.String || !key.CanInterface() {
		return fmt.Sprint(key)
	}
	if its, isText := key.Interface().(encoding.TextMarshaler); isText && !isNil(its) {
		if text, err := its.MarshalText(); err == nil {
			return string(text)
		}
	}
	return fmt.Sprint(key)
}

func textFault(text string) error {
	if utf8.ValidString(text) {
		return nil
	}
	return errNoUTF8
}

func join(name, below string) string {
	if below == "" || strings.HasPrefix(below, "[") {
		return name + below
	}
	return name + "." + below
}
