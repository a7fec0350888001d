// Changes the rate of sound that comes in pieces, without a seam between them.

/** Zero crossings of the filter on each side: how sharp its edge is. */
const CROSSINGS = 24;
/** Shape of the window; 8.6 keeps what folds back about 85 dB down. */
const KAISER = 8.6;
/** Where the filter begins to cut, as a part of the lower rate's half. */
const EDGE = 0.93;

/**
 * A windowed sinc in polyphase form. The state is kept between calls, so that pieces of any length
 * give the same sound as all of it at once, and the first output stands where the first input did.
 */
export class Resampler {
  #up;
  #down;
  #taps;
  #phases;
  #waiting;
  #phase = 0;

  /** Both rates in Hz, whole numbers. */
  constructor(from, to) {
    if (!Number.isInteger(from) || !Number.isInteger(to) || from <= 0 || to <= 0) {
      throw new RangeError(`rates are whole numbers of Hz above 0, not ${from} and ${to}`);
    }
    const common = greatestCommonDivisor(from, to);
    this.#up = to / common;
    this.#down = from / common;
    const half = Math.ceil(CROSSINGS * Math.max(1, from / to));
    this.#taps = 2 * half;
    this.#phases = filters(this.#up, half, EDGE * Math.min(1, to / from));
    this.#waiting = new Float32Array(half - 1);
  }

  /** What is certain with this piece; both are Float32Array. */
  process(samples) {
    if (this.#up === this.#down) return samples;
    const input = joined(this.#waiting, samples);
    const most = Math.ceil((input.length * this.#up) / this.#down) + 1;
    const output = new Float32Array(most);
    let made = 0;
    let start = 0;
    while (start + this.#taps <= input.length) {
      output[made++] = dot(this.#phases[this.#phase], input, start);
      this.#phase += this.#down;
      start += Math.floor(this.#phase / this.#up);
      this.#phase %= this.#up;
    }
    this.#waiting = input.slice(start); // a step is shorter than the filter, so start is inside
    return output.slice(0, made);
  }

  /** The rest, as if silence followed; the resampler is spent afterwards. */
  flush() {
    if (this.#up === this.#down) return new Float32Array(0);
    return this.process(new Float32Array(this.#taps / 2));
  }
}

/** All of a sound at another rate. */
export function resampled(samples, from, to) {
  if (from === to) return samples;
  const resampler = new Resampler(from, to);
  const output = joined(resampler.process(samples), resampler.flush());
  return output.subarray(0, Math.ceil((samples.length * to) / from));
}

function filters(up, half, cutoff) {
  return Array.from({ length: up }, (_, phase) => {
    const filter = new Float32Array(2 * half);
    let sum = 0;
    for (let tap = 0; tap < 2 * half; tap++) {
      const t = tap - (half - 1) - phase / up;
      filter[tap] = sinc(cutoff * t) * kaiser(t / half);
      sum += filter[tap];
    }
    return filter.map((value) => value / sum);
  });
}

function sinc(x) {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function kaiser(x) {
  return Math.abs(x) >= 1 ? 0 : bessel(KAISER * Math.sqrt(1 - x * x)) / bessel(KAISER);
}

function bessel(x) {
  let sum = 1;
  let term = 1;
  for (let k = 1; term > 1e-12 * sum; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function dot(filter, input, start) {
  let sum = 0;
  for (let tap = 0; tap < filter.length; tap++) sum += filter[tap] * input[start + tap];
  return sum;
}

function joined(a, b) {
  const both = new Float32Array(a.length + b.length);
  both.set(a);
  both.set(b, a.length);
  return both;
}

function greatestCommonDivisor(a, b) {
  return b === 0 ? a : greatestCommonDivisor(b, a % b);
}
