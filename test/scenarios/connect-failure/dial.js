const net = require('net');
const s = net.connect({host: process.argv[2], port: +process.argv[3]});
if (process.argv[4]) {
  setTimeout(() => { console.error('queue: no broker after ' + process.argv[4] + ' ms, timed out'); s.destroy(); process.exit(5); }, +process.argv[4]);
}
