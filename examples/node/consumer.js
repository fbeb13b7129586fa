// Takes CloudEvents (HTTP, binary mode) on $PORT. An order is answered with an event, anything else with 204.
const http = require('node:http');

const server = http.createServer(async (request, response) => {
  let data = '';
  for await (const piece of request.setEncoding('utf8')) data += piece;
  const { 'ce-type': type, 'ce-id': id } = request.headers;
  console.log(type, id, data);
  if (type !== 'com.example.order.placed') {
    response.writeHead(204).end();
    return;
  }
  response.writeHead(200, {
    'ce-specversion': '1.0',
    'ce-id': `${id}-confirmed`,
    'ce-source': '/examples/node',
    'ce-type': 'com.example.order.confirmed',
    'content-type': 'application/json',
  });
  response.end(JSON.stringify({ order: JSON.parse(data), by: 'node' }));
});

server.listen(process.env.PORT, '127.0.0.1');
// Takes no more, finishes what was begun; then nothing is left to do, and the process ends.
process.on('SIGTERM', () => server.close());
