// The picture of both voices: the model's runs out to the left of the button, the person's to the
// right, the newest beside the button.

/** Pixels of one bar and the space behind it, and the time of one. */
const BAR = 3;
const STEP = 6;
const BAR_MS = 45;
/** Quieter than this is drawn as a dot, louder than that at full height; dB. */
const QUIET_DB = -52;
const LOUD_DB = -6;
/** Space for the button: its radius and some air. */
const MIDDLE = 72;
/** The processor has better things to do than to draw more often. */
const FRAME_MS = 30;
/** With reduced motion the picture changes this seldom. */
const CALM_MS = 250;

export class Voices {
  #canvas;
  #levels;
  #bars = { model: [], user: [] };
  #buffer = new Float32Array(1024);
  #frame = null;
  #last = 0;
  #drawn = 0;
  #calm = matchMedia("(prefers-reduced-motion: reduce)");
  #peaks = { model: 0, user: 0 };

  /** `levels()` returns {user, model}: AnalyserNodes or null; `loudness(level)` gets the louder. */
  constructor(canvas, levels, loudness) {
    this.#canvas = canvas;
    this.#levels = levels;
    this.loudness = loudness;
    new ResizeObserver(() => this.#draw(0)).observe(canvas);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#draw(0));
  }

  /** Run until both are silent. */
  wake() {
    if (this.#frame !== null) return;
    this.#last = performance.now();
    this.#frame = requestAnimationFrame((time) => this.#step(time));
  }

  /** Draw once, in new colours. */
  redraw() {
    this.#draw(0);
  }

  #step(time) {
    if (time - this.#drawn < FRAME_MS) {
      this.#frame = requestAnimationFrame((next) => this.#step(next));
      return;
    }
    this.#drawn = time;
    const { user, model } = this.#levels();
    this.#measure("user", user);
    this.#measure("model", model);
    const every = this.#calm.matches ? CALM_MS : BAR_MS;
    while (time - this.#last >= every) {
      this.#last += every;
      if (time - this.#last > 1000) this.#last = time; // the tab was hidden
      for (const side of ["user", "model"]) {
        this.#bars[side].unshift(this.#peaks[side]);
        this.#bars[side].length = Math.min(this.#bars[side].length, 400);
        this.#peaks[side] = 0;
      }
    }
    if (!this.#calm.matches) {
      this.loudness(Math.max(this.#bars.user[0] ?? 0, this.#bars.model[0] ?? 0));
    }
    this.#draw((time - this.#last) / every);
    const silent = Object.values(this.#bars).every((bars) => bars.every((level) => level === 0));
    const over = silent && user === null && this.#bars.model.length > 0;
    this.#frame = over ? null : requestAnimationFrame((next) => this.#step(next));
  }

  #measure(side, analyser) {
    if (analyser === null) return;
    analyser.getFloatTimeDomainData(this.#buffer);
    const power = this.#buffer.reduce((sum, value) => sum + value * value, 0) / 1024;
    const level = (10 * Math.log10(power + 1e-12) - QUIET_DB) / (LOUD_DB - QUIET_DB);
    this.#peaks[side] = Math.max(this.#peaks[side], Math.min(1, Math.max(0, level)));
  }

  #draw(part) {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const scale = devicePixelRatio;
    if (this.#canvas.width !== Math.round(width * scale)) this.#canvas.width = width * scale;
    if (this.#canvas.height !== Math.round(height * scale)) this.#canvas.height = height * scale;
    const pen = this.#canvas.getContext("2d");
    pen.setTransform(scale, 0, 0, scale, 0, 0);
    pen.clearRect(0, 0, width, height);
    const colours = getComputedStyle(this.#canvas);
    const calm = this.#calm.matches;
    this.#wing(pen, this.#bars.user, colours.color, 1, calm ? 0 : part);
    this.#wing(pen, this.#bars.model, colours.borderTopColor, -1, calm ? 0 : part);
  }

  #wing(pen, bars, colour, direction, part) {
    const { clientWidth: width, clientHeight: height } = this.#canvas;
    const reach = width / 2 - MIDDLE;
    const calm = this.#calm.matches;
    pen.fillStyle = colour;
    for (let i = 0; i * STEP < reach; i++) {
      const from = (i + part) * STEP;
      // Without motion, a meter in place: every bar shows the same moment, less and less of it.
      const level = calm ? Math.max(0, (bars[0] ?? 0) - from / reach) : (bars[i] ?? 0);
      const tall = Math.max(BAR, level * (height - 12) * (calm ? 0.5 : 1));
      pen.globalAlpha = (level > 0 ? 1 : 0.35) * Math.max(0, 1 - (from / reach) ** 2);
      pen.beginPath();
      const x = width / 2 + direction * (MIDDLE + from) - BAR / 2;
      pen.roundRect(x, (height - tall) / 2, BAR, tall, BAR / 2);
      pen.fill();
    }
  }
}
