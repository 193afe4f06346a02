// The camera: a few frames a second to the server, the next one when the last was answered.

import { AWAY, Failure } from "./server.js";

const SECONDS_BETWEEN_FRAMES = 0.2;
const WIDTH = 320;

export class Camera {
  // `answered` gets each answer and its milliseconds, `refused` why a frame has none, and `ended` why
  // there are no more.
  constructor(video, { answered, refused, ended }) {
    Object.assign(this, { video, answered, refused, ended });
    this.canvas = document.createElement("canvas");
  }

  get on() {
    return Boolean(this.media);
  }

  async start() {
    if (!navigator.mediaDevices) {
      throw new Failure("The browser gives the camera only to a page on this machine or over HTTPS.");
    }
    try {
      this.media = await navigator.mediaDevices.getUserMedia({ video: { width: { ideal: 640 } }, audio: false });
    } catch (error) {
      throw new Failure(`The camera cannot be used: ${error.message}.`);
    }
    this.video.srcObject = this.media;
    await this.video.play();
    this.open();
  }

  open() {
    const address = new URL("api/camera", location.href);
    address.protocol = address.protocol.replace("http", "ws");
    this.socket = new WebSocket(address);
    this.socket.onopen = () => this.send();
    this.socket.onmessage = (message) => this.receive(JSON.parse(message.data));
    this.socket.onclose = ({ reason }) => this.on && this.ended(reason || AWAY);
  }

  async send() {
    const { videoWidth, videoHeight } = this.video;
    this.canvas.width = WIDTH;
    this.canvas.height = Math.round((WIDTH * videoHeight) / videoWidth);
    this.canvas.getContext("2d").drawImage(this.video, 0, 0, this.canvas.width, this.canvas.height);
    const frame = await new Promise((done) => this.canvas.toBlob(done, "image/jpeg", 0.85));
    this.sent = performance.now();
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send(frame);
  }

  receive(answer) {
    if (!this.on) return;
    const elapsed = performance.now() - this.sent;
    if (answer.error) this.refused(answer.error);
    else this.answered(answer, elapsed);
    this.timer = setTimeout(() => this.send(), Math.max(0, 1000 * SECONDS_BETWEEN_FRAMES - elapsed));
  }

  stop() {
    clearTimeout(this.timer);
    this.media?.getTracks().forEach((track) => track.stop());
    this.media = null;
    this.socket?.close();
    this.video.srcObject = null;
  }
}
