package dev.dibs;

import com.fasterxml.jackson.core.JsonGenerationException;
import com.fasterxml.jackson.core.JsonGenerator;
import com.fasterxml.jackson.core.JsonStreamContext;
import com.fasterxml.jackson.core.util.JsonGeneratorDelegate;
import java.io.IOException;

/**
 * Refuses numbers that JSON does not have, and strings that cannot be encoded as UTF-8. Jackson alone writes NaN as a
 * string, which no other client reads as a number, and an unpaired surrogate as an escape that many clients cannot
 * read.
 */
final class SoundJson extends JsonGeneratorDelegate {
  /** Its message names the complete place, unlike Jackson's. */
  static final class UnsoundException extends JsonGenerationException {
    private static final long serialVersionUID = 1L;

    UnsoundException(String message, JsonGenerator by) {
      super(message, by);
    }
  }

  SoundJson(JsonGenerator by) {
    // Values written as a whole arrive here in parts.
    super(by, false);
  }

  @Override
  public void writeNumber(double number) throws IOException {
    refuseBroken(number);
    super.writeNumber(number);
  }

  @Override
  public void writeNumber(float number) throws IOException {
    refuseBroken(number);
    super.writeNumber(number);
  }

  @Override
  public void writeArray(double[] array, int offset, int length) throws IOException {
    // One by one: this way the place of a number within is known.
    writeStartArray(array, length);
    for (int at = offset; at < offset + length; at += 1) writeNumber(array[at]);
    writeEndArray();
  }

  @Override
  public void writeString(String text) throws IOException {
    if (text != null && !Bounds.isSound(text)) {
      throw broken("contains an unpaired surrogate, which UTF-8 does not have");
    }
    super.writeString(text);
  }

  @Override
  public void writeString(char[] text, int offset, int length) throws IOException {
    writeString(new String(text, offset, length));
  }

  @Override
  public void writeFieldName(String name) throws IOException {
    if (!Bounds.isSound(name)) throw broken("a name in it contains an unpaired surrogate, which UTF-8 does not have");
    super.writeFieldName(name);
  }

  private void refuseBroken(double number) throws UnsoundException {
    if (!Double.isFinite(number)) throw broken(number + " is a number that JSON does not have");
  }

  private UnsoundException broken(String why) {
    return new UnsoundException("%s: %s".formatted(JsonCodec.placeOf(pointer()), why), this);
  }

  /** The place of what is written next, as a JSON pointer. */
  private String pointer() {
    StringBuilder pointer = new StringBuilder();
    // The innermost level has not yet counted what is about to be written.
    boolean isInnermost = true;
    for (JsonStreamContext at = getOutputContext(); at != null && !at.inRoot(); at = at.getParent()) {
      Object index = isInnermost ? at.getEntryCount() : at.getCurrentIndex();
      pointer.insert(0, "/" + (at.inArray() ? index : at.getCurrentName()));
      isInnermost = false;
    }
    return pointer.toString();
  }
}
