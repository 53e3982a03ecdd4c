/** Writes protocol-buffer messages: small fields into one growing buffer, big byte fields by reference. */

/** Byte fields from this size on are referenced, not copied, until `join`. */
const REFERENCE_FROM = 4096;
const text = new TextEncoder();

export class ProtobufWriter {
  #buffer: Uint8Array;
  #used = 0;
  /** Where the bytes pending in `#buffer` begin; what came before is in `#parts`. */
  #start = 0;
  #parts: Uint8Array[] = [];
  #partBytes = 0;

  constructor(capacity = 64) {
    this.#buffer = new Uint8Array(capacity);
  }

  /** Bytes written so far. */
  get length(): number {
    return this.#partBytes + this.#used - this.#start;
  }

  #reserve(bytes: number): void {
    if (this.#used + bytes <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(this.#buffer.length * 2, this.#used + bytes));
    grown.set(this.#buffer.subarray(0, this.#used));
    this.#buffer = grown;
  }

  #varint(value: number): void {
    this.#reserve(10);
    let rest = value;
    if (rest < 0) {
      this.#bigVarint(BigInt(rest));
      return;
    }
    while (rest > 127) {
      this.#buffer[this.#used++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#buffer[this.#used++] = rest;
  }

  #bigVarint(value: bigint): void {
    let rest = BigInt.asUintN(64, value);
    while (rest > 127n) {
      this.#buffer[this.#used++] = Number(rest & 127n) | 128;
      rest >>= 7n;
    }
    this.#buffer[this.#used++] = Number(rest);
  }

  /** A varint field; negative numbers take ten bytes, as two's complement. */
  int(field: number, value: number | bigint): this {
    this.#varint(field * 8);
    this.#reserve(10);
    if (typeof value === "bigint") this.#bigVarint(value);
    else this.#varint(value);
    return this;
  }

  float(field: number, value: number): this {
    this.#varint(field * 8 + 5);
    this.#reserve(4);
    new DataView(this.#buffer.buffer).setFloat32(this.#used, value, true);
    this.#used += 4;
    return this;
  }

  double(field: number, value: number): this {
    this.#varint(field * 8 + 1);
    this.#reserve(8);
    new DataView(this.#buffer.buffer).setFloat64(this.#used, value, true);
    this.#used += 8;
    return this;
  }

  string(field: number, value: string): this {
    const most = value.length * 3;
    if (most >= REFERENCE_FROM) return this.bytes(field, text.encode(value));
    let ascii = true;
    for (let i = 0; i < value.length && ascii; i++) ascii = value.charCodeAt(i) < 128;
    if (!ascii) return this.bytes(field, text.encode(value));
    this.#varint(field * 8 + 2);
    this.#varint(value.length);
    this.#reserve(value.length);
    for (let i = 0; i < value.length; i++) this.#buffer[this.#used++] = value.charCodeAt(i);
    return this;
  }

  bytes(field: number, value: Uint8Array): this {
    this.#varint(field * 8 + 2);
    this.#varint(value.length);
    this.#append(value);
    return this;
  }

  message(field: number, message: ProtobufWriter): this {
    this.#varint(field * 8 + 2);
    this.#varint(message.length);
    for (const part of message.#parts) this.#append(part);
    this.#append(message.#buffer.subarray(message.#start, message.#used));
    return this;
  }

  #append(bytes: Uint8Array): void {
    if (bytes.length < REFERENCE_FROM) {
      this.#reserve(bytes.length);
      this.#buffer.set(bytes, this.#used);
      this.#used += bytes.length;
      return;
    }
    this.#flush();
    this.#parts.push(bytes);
    this.#partBytes += bytes.length;
  }

  #flush(): void {
    if (this.#used === this.#start) return;
    this.#parts.push(this.#buffer.subarray(this.#start, this.#used));
    this.#partBytes += this.#used - this.#start;
    this.#start = this.#used;
  }

  /** The whole message in one array. */
  join(): Uint8Array<ArrayBuffer> {
    this.#flush();
    const whole = new Uint8Array(this.#partBytes);
    let at = 0;
    for (const part of this.#parts) {
      whole.set(part, at);
      at += part.length;
    }
    return whole;
  }
}
