// Servers in Node, sound and unsound.
const http = require('http'), fs = require('fs'), net = require('net')
const port = Number(process.argv[2])
const watched = []
http.createServer((q, a) => {
  if (q.url === '/ok') {
    fs.createReadStream(__filename).pipe(a)
  } else if (q.url === '/export') { // opened for each part, and the answer breaks off before they are closed
    let left = 8 + Math.floor(Math.random() * 25)
    const n = left
    for (let i = 0; i < n; i++) fs.open(__filename, 'r', (e, fd) => { if (!e) watched.push(fd); if (--left === 0) a.end('ok\n') })
  } else if (q.url === '/slow') {
    setTimeout(() => a.end('slow\n'), 200 + Math.random() * 800)
  } else {
    a.statusCode = 404
    a.end('none\n')
  }
}).listen(port, '127.0.0.1')
