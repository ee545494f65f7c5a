// Prints what an EventSource dispatches, as a JSON array, once the event "end" has come.
// Argument: {"url": …, "types": [the names to listen to]}
import { EventSource } from 'eventsource'

const { url, types } = JSON.parse(process.argv[2])
const messages = []
let inForce = ''

// Version 3 is the last one for Debian's Node. In two points it is behind browsers and its later versions: it cannot send
// back an id that is not Latin-1, and it does not show the id in force on an event that has none of its own.
const source = new EventSource(url, {
  fetch: (url, { headers, ...init }) =>
    fetch(url, {
      ...init,
      headers: Object.entries(headers).map(([name, value]) => [name, Buffer.from(value).toString('latin1')]),
    }),
})

// While it waits to reconnect, an EventSource does not keep Node running.
const alive = setInterval(() => {}, 60_000)

for (const name of types) {
  source.addEventListener(name, ({ type, data, lastEventId }) => {
    inForce = lastEventId || inForce
    messages.push({ type, data, id: inForce })
    if (type === 'end') {
      source.close()
      clearInterval(alive)
      console.log(JSON.stringify(messages))
    }
  })
}

source.addEventListener('error', ({ message }) => {
  // In any other state it reconnects.
  if (source.readyState === source.CLOSED) {
    clearInterval(alive)
    console.error(`closed after ${messages.length} events: ${message}`)
    process.exitCode = 1
  }
})
