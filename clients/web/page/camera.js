// The camera: a few frames a second to the server, the next one when the last was answered.

import { AWAY, Failure } from "./server.js";

const SECONDS_BETWEEN_FRAMES = 0.2;
const WIDTH = 320;

const release = (media) => media?.getTracks().forEach((track) => track.stop());

export class Camera {
  // `answered` gets each answer and its milliseconds, `refused` why a frame has none, and `ended` why
  // there are no more.
  constructor(video, { answered, refused, ended }) {
    Object.assign(this, { video, answered, refused, ended });
    this.canvas = document.createElement("canvas");
    this.running = null; // from start to stop: aborted, nothing of that start goes on
  }

  // True from the start, which may wait for the user's permission.
  get on() {
    return Boolean(this.running);
  }

  // Ends with an AbortError if it is stopped before it shows anything.
  async start() {
    if (!navigator.mediaDevices) {
      throw new Failure("The browser gives the camera only to a page on this machine or over HTTPS.", "camera");
    }
    const { signal } = (this.running = new AbortController());
    try {
      await this.film(signal);
    } catch (error) {
      signal.throwIfAborted();
      this.stop();
      throw new Failure(`The camera cannot be used: ${error.message}.`, "camera");
    }
    this.open(signal);
  }

  async film(signal) {
    const media = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } }, audio: false });
    if (signal.aborted) release(media);
    signal.throwIfAborted();
    this.video.srcObject = media;
    await this.video.play();
  }

  open(signal) {
    const address = new URL("api/camera", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    const socket = new WebSocket(address);
    socket.addEventListener("open", () => this.send(socket), { signal });
    socket.addEventListener("message", ({ data }) => this.receive(JSON.parse(data), socket), { signal });
    socket.addEventListener("close", ({ reason }) => this.ended(reason || AWAY), { signal });
    signal.addEventListener("abort", () => socket.close());
  }

  async send(socket) {
    const { videoWidth, videoHeight } = this.video;
    this.canvas.width = WIDTH;
    this.canvas.height = Math.round((WIDTH * videoHeight) / videoWidth);
    this.canvas.getContext("2d").drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
    const frame = await new Promise((done) => this.canvas.toBlob(done, "image/jpeg", 0.85));
    this.sent = performance.now();
    if (socket.readyState === WebSocket.OPEN) socket.send(frame);
  }

  receive(answer, socket) {
    const elapsed = performance.now() - this.sent;
    if (answer.error) this.refused(answer.error);
    else this.answered(answer, elapsed);
    this.timer = setTimeout(() => this.send(socket), Math.max(0, 1000 * SECONDS_BETWEEN_FRAMES - elapsed));
  }

  stop() {
    this.running?.abort();
    this.running = null;
    clearTimeout(this.timer);
    release(this.video.srcObject);
    this.video.srcObject = null;
  }
}
