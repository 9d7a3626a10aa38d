package dibs

import (
	"bytes"
	"encoding/json"
)

// Codec encodes and decodes values. Marshal's error becomes the rebuild's. If Unmarshal fails, the key is rebuilt once.
// Unmarshal must not change or keep data, because other callers read it too.
type Codec interface {
	Marshal(value any) ([]byte, error)
	Unmarshal(data []byte, into any) error
}

// jsonCodec is JSON in UTF-8. A []byte is stored unchanged.
type jsonCodec struct{}

func (jsonCodec) Marshal(value any) ([]byte, error) {
	if raw, ok := value.([]byte); ok {
		return raw, nil
	}
	return marshalJSON(value)
}

func (jsonCodec) Unmarshal(data []byte, into any) error {
	if raw, ok := into.(*[]byte); ok {
		// Callers that joined one call must not share data that each may change.
		*raw = bytes.Clone(data)
		return nil
	}
	return json.Unmarshal(data, into)
}
