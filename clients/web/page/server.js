// Questions to the server of this page.

// What is shown to the user as it is; its kind is for the page.
export class Failure extends Error {
  constructor(message, kind = "away") {
    super(message);
    this.kind = kind;
  }
}

export const AWAY = "The server of this page does not answer. Start it again with: python -m clients web";

async function response(path, body, signal) {
  let answer;
  try {
    answer = await fetch(path, { method: body ? "POST" : "GET", body, signal });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Failure(AWAY);
  }
  if (!answer.ok) throw await refusal(answer);
  return answer;
}

async function refusal(answer) {
  try {
    const { error, kind } = await answer.json();
    return new Failure(error, kind);
  } catch {
    return new Failure(`The server of this page answered ${answer.status} ${answer.statusText}.`);
  }
}

export async function ask(path, body, signal) {
  return (await response(path, body, signal)).json();
}

// Lines of JSON as they come; a line with an error ends them.
export async function* lines(path, body, signal) {
  const answer = await response(path, body, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const whole = (rest + value).split("\n");
    rest = whole.pop();
    for (const line of whole) {
      const told = JSON.parse(line);
      if (told.error) throw new Failure(told.error, told.kind);
      yield told;
    }
  }
}
