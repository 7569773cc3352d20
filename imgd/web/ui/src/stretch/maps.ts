// The daemon's colour maps, each by 13 colours at like distances: enough for a swatch.
export const MAPS: Readonly<Record<string, string>> = {
  viridis: "440154 481f70 443983 3b528b 31688e 287c8e 21918c 20a486 35b779 5cc863 8ed645 c8e020 fde725",
  inferno: "000004 110a30 320a5e 57106e 781c6d 9a2865 bc3754 d84c3e ed6925 f98c0a fcb418 f4df53 fcffa4",
  magma: "000004 100b2d 2c115f 51127c 721f81 932b80 b73779 d8456c f1605d fb8761 feae77 fed799 fcfdbf",
  plasma: "0d0887 3a049a 5c01a6 7e03a8 9c179e b52f8c cc4778 de5f65 ed7953 f89441 fdb22f fbd524 f0f921",
  cividis: "00224e 003170 2a3f6d 434e6c 575d6d 6a6c71 7d7c78 918b78 a59c74 bbad6d d1bf61 e9d34e fee838",
  turbo: "30123b 434eba 4685fa 28bceb 1ae4b6 55fa76 a4fc3c d9e436 faba39 fb8122 e5470b b91e02 7a0403",
  cubehelix: "000000 181027 192d48 16534c 2b6f39 607a2f a1794a cc7c86 d490c6 c7b2ed c2d7f3 d9f2ef ffffff",
  hot: "0b0000 420000 790000 b30000 ea0000 ff2200 ff5c00 ff9300 ffca00 ffff03 ffff56 ffffac ffffff",
  cool: "00ffff 15eaff 2ad5ff 40bfff 55aaff 6a95ff 807fff 956aff aa55ff bf40ff d42bff ea15ff ff00ff",
  bone: "000000 12121a 252533 38384e 4a4a67 5d617d 707b90 8295a2 95aeb5 a7c7c7 c4d9d9 e2eded ffffff",
  copper: "000000 1a100a 342115 4f3220 69422a 835335 9e6440 b8744a d28555 ec955f ffa669 ffb774 ffc77f",
  jet: "000080 0000df 0029ff 0081ff 00d4ff 36ffc1 7dff7a c1ff36 ffe600 ff9800 ff4a00 df0000 800000",
  hsv: "ff0000 ff7c00 fcf500 84ff00 08ff00 00ff74 00fff6 008cff 0010ff 6c00ff e800ff ff0094 ff0018",
  heat: "000000 200000 3f0000 600000 800000 9f0000 c00100 e02b00 ff5500 ff7f00 ffa953 ffd5ab ffffff",
  rainbow: "8000ff 5641fd 2c7ef7 00b5eb 2adddd 54f6cb 81ffb4 abf69b d4dd80 ffb562 ff8143 ff4121 ff0000",
  afmhot: "000000 2a0000 540000 800000 aa2a00 d45400 ff8101 ffab2b ffd455 ffff7f ffffa9 ffffd5 ffffff",
  gnuplot2: "000000 000054 0000a8 0100ff 4200ff 8400ff c92ad5 ff54ab ff7e81 ffa857 ffd22d fffe01 ffffff",
  blues: "f7fbff e7f0fa d6e6f4 c6dbef abd0e6 8dc1dd 6aaed6 4f9bcb 3787c0 2171b5 115ca5 08468b 08306b",
  reds: "fff5f0 fee7dc fdd4c2 fcbba1 fca082 fc8565 fb694a f34a36 e32f27 cb181d b21218 900a12 67000d",
  spectral: "9e0142 cb334d e95c47 f98e52 fdbf6f fee593 ffffbe eaf79e bfe5a0 89d0a4 56b0ad 3a7eb8 5e4fa2",
  coolwarm: "3b4cc0 5470de 6f92f3 8db0fe aac7fd c5d6f2 dddcdc efcebd f7b89c f49a7b e8765c d1493f b40426",
  seismic: "00004d 000087 0000c2 0101ff 5555ff a9a9ff fffdfd ffa9a9 ff5555 ff0101 d60000 aa0000 800000",
  twilight: "e2d9e2 b3c7ce 7ca2c2 6275ba 5e44a5 4e186f 301436 591648 8d2b50 b25552 c6886b d4bcac e2d9e2",
  thermal: "042333 0c3060 2c3395 563b9c 744992 90558b b15f82 d06970 eb7958 f99242 fbb23d f5d748 e8fa5b",
  ice: "040613 171831 292851 383975 3f4b96 3e62ac 427bb7 4f91bf 61a8c7 79bed0 9ad3da c4e7ea eafdfd",
  fire: "000000 3a0000 5a0100 7e0200 a10400 c60800 ed1500 fd4e00 ff7e00 ffa501 ffc805 ffea11 ffffff",
};

/** The ramp of a map for a CSS background; of none a grey one. */
export function ramp(map: string, invert: boolean): string {
  const stops = (MAPS[map] ?? "000000 ffffff").split(" ").map((stop) => `#${stop}`);
  return `linear-gradient(to right, ${(invert ? stops.reverse() : stops).join(", ")})`;
}
