// What all files of tests share: the known frames, made once, and one daemon that serves them to those who only look.
import { rmSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import type { TestProject } from "vitest/node";
import { copiesFrames, makesFrames, Service, temporary } from "./service";

declare module "vitest" {
  interface ProvidedContext {
    frames: string; // the folder of the known frames, for `copiesFrames`
    stand: string; // an address: who asks there is told where the daemon is, which is started for the first one
  }
}

export default async function stand(project: TestProject): Promise<() => Promise<void>> {
  const folder = temporary();
  makesFrames(folder);
  let started: Promise<Service> | undefined;
  const start = async (): Promise<Service> => {
    copiesFrames(folder, join(folder, "served", "known"));
    return await service.start();
  };
  const service = new Service([join(folder, "served", "known")], [], folder);
  const server = createServer((_, answer) => {
    started ??= start();
    started.then(
      ({ url }) => answer.end(url),
      (error: unknown) => answer.writeHead(500).end(String(error)),
    );
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  project.provide("frames", folder);
  project.provide("stand", `http://127.0.0.1:${(server.address() as AddressInfo).port}/`);
  return async () => {
    server.closeAllConnections();
    server.close();
    await service.end();
    rmSync(folder, { recursive: true, force: true });
  };
}
