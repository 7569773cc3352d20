// A little reverse proxy before the daemon: below a path of its own, with websockets or without, and out of the way on demand.
import { createServer, request, type IncomingMessage, type Server } from "node:http";
import { connect, type AddressInfo, type Socket } from "node:net";
import type { Duplex } from "node:stream";

export interface Given {
  prefix?: string; // as "/scope/night"
  websockets?: boolean;
}

export class Gate {
  url = "";
  /** What went through, by path and query, as the daemon was asked. */
  readonly asked: string[] = [];
  upgrades = 0;
  private readonly server: Server;
  private readonly open = new Set<Socket | Duplex>();

  private constructor(private readonly to: URL, private readonly given: Given) {
    this.server = createServer((from, answer) => {
      const path = this.pathOf(from);
      if (path === null) return void answer.writeHead(404).end();
      this.asked.push(path);
      const on = request({ host: to.hostname, port: to.port, path, method: from.method, headers: from.headers }, (reply) => {
        answer.writeHead(reply.statusCode ?? 502, reply.headers);
        reply.pipe(answer);
      });
      on.on("error", () => answer.destroy());
      answer.on("close", () => on.destroy());
      from.pipe(on);
    });
    this.server.on("upgrade", (from, socket, head) => this.upgrade(from, socket, head));
    this.server.on("connection", (socket) => {
      this.open.add(socket);
      socket.on("close", () => this.open.delete(socket));
    });
  }

  static async before(service: { url: string }, given: Given = {}): Promise<Gate> {
    const gate = new Gate(new URL(service.url), given);
    await new Promise<void>((done) => gate.server.listen(0, "127.0.0.1", done));
    gate.url = `http://127.0.0.1:${(gate.server.address() as AddressInfo).port}${given.prefix ?? ""}/`;
    return gate;
  }

  /** The path as the daemon knows it; null: it is not ours. */
  private pathOf({ url = "/" }: IncomingMessage): string | null {
    const prefix = this.given.prefix ?? "";
    return url.startsWith(`${prefix}/`) ? url.slice(prefix.length) : null;
  }

  private upgrade(from: IncomingMessage, socket: Duplex, head: Buffer): void {
    this.upgrades += 1;
    const path = this.pathOf(from);
    if (path === null || this.given.websockets === false) return void socket.end("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
    const on = connect(Number(this.to.port), this.to.hostname, () => {
      const lines = [`GET ${path} HTTP/1.1`];
      for (let at = 0; at + 1 < from.rawHeaders.length; at += 2) lines.push(`${from.rawHeaders[at]}: ${from.rawHeaders[at + 1]}`);
      on.write(`${lines.join("\r\n")}\r\n\r\n`);
      on.write(head);
      on.pipe(socket).pipe(on);
    });
    for (const [one, other] of [[on, socket], [socket, on]] as const) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.end()); // Not before it has said what it was told.
    }
  }

  async end(): Promise<void> {
    for (const socket of this.open) socket.destroy();
    await new Promise((done) => this.server.close(done));
  }
}
