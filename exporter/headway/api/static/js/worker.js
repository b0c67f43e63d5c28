// One stream for all pages of this browser: it ends with the last of them.
import { Feed } from "./feed.js";

const ports = new Set();
let viewer = null;
let feed = null;

onconnect = (event) => {
  const [port] = event.ports;
  port.onmessage = ({ data }) => {
    if (data.kind === "bye") {
      ports.delete(port);
      return;
    }
    if (feed && data.viewer !== viewer) {
      // Somebody else signed in: nothing of what the one before saw is kept.
      feed.close();
      feed = null;
    }
    viewer = data.viewer;
    ports.add(port);
    if (!feed) feed = new Feed((message) => ports.forEach((each) => each.postMessage(message)));
    else {
      port.postMessage(feed.present());
      if (feed.now !== null) port.postMessage(feed.everything());
    }
  };
};
