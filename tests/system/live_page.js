// The least that a dashboard does: it listens, and goes on where its connection was cut.
class Watcher {
  constructor(url, {token, ticket, channels, after = "now"}) {
    Object.assign(this, {url, token, ticket, channels, after, frames: [], closed: [], opened: 0});
    this.connect();
  }

  connect() {
    // A ticket is good once; after that the token tells who asks.
    const query = this.ticket ? `?ticket=${this.ticket}` : "";
    const greeted = Boolean(this.ticket);
    this.ticket = null;
    const socket = new WebSocket(this.url + query, "musterroll.v1");
    const say = (message) => socket.send(JSON.stringify(message));
    socket.onopen = () => {
      this.opened += 1;
      this.protocol = socket.protocol;
      if (!greeted) say({type: "auth", token: this.token});
    };
    socket.onmessage = ({data}) => {
      const frame = JSON.parse(data);
      this.frames.push(frame);
      if (frame.type === "hello") {
        say({type: "subscribe", channels: this.channels, after: this.after});
      }
      if (frame.type === "event") this.after = frame.event.id;
      if (["position", "caught_up"].includes(frame.type)) this.after = frame.cursor;
    };
    socket.onclose = ({code}) => {
      this.closed.push(code);
      if (this.opened) setTimeout(() => this.connect(), 100);
    };
  }

  ids() {
    return this.frames.filter(({type}) => type === "event").map(({event}) => event.id);
  }

  count(type) {
    return this.frames.filter((frame) => frame.type === type).length;
  }
}

// Server-sent events by fetch, which can send a header, unlike EventSource.
async function stream(url, token, wanted) {
  const leave = new AbortController();
  const headers = {Authorization: `Bearer ${token}`};
  const answer = await fetch(url, {headers, signal: leave.signal});
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  const events = [];
  for (let text = ""; events.length < wanted; ) {
    const {done, value} = await reader.read();
    if (done) break;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const event = {};
      for (const line of block.split("\n")) {
        const [field, ...rest] = line.split(": ");
        event[field] = rest.join(": ");
      }
      if (event.data) events.push({...event, data: JSON.parse(event.data)});
    }
  }
  leave.abort();
  return {status: answer.status, type: answer.headers.get("Content-Type"), events};
}
