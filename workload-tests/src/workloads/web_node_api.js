// The API under load: GET /items/N reads N.json, and answers a summary of it. Arguments: port, directory, log.
'use strict';
const fs = require('fs');
const http = require('http');
const path = require('path');

const [port, items, log] = process.argv.slice(2);
const access = fs.createWriteStream(log, { flags: 'a' });

const server = http.createServer(async (request, response) => {
  let status = 404;
  let answer = { error: 'not found' };
  const match = /^\/items\/([0-9]+)$/.exec(request.url);
  if (match) {
    try {
      const item = JSON.parse(await fs.promises.readFile(path.join(items, match[1] + '.json'), 'utf8'));
      const total = item.prices.reduce((sum, price) => sum + price, 0);
      answer = { id: item.id, name: item.name, count: item.prices.length, total };
      status = 200;
    } catch (error) {
      const statuses = { ENOENT: 404, EACCES: 403, EPERM: 403 };
      status = statuses[error.code] || 500;
      answer = { error: error.code };
    }
  }
  const body = JSON.stringify(answer);
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) });
  response.end(body);
  access.write(`${new Date().toISOString()} ${request.method} ${request.url} ${status}\n`);
});

server.keepAliveTimeout = 3600 * 1000;
server.listen(Number(port), '127.0.0.1');
