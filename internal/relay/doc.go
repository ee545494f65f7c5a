// Package relay fetches streams for the app, such as the answers of model APIs, and passes them to the clients that listen. The
// app only says what to fetch: the stream outlives the app's worker, reloads, and the pages that hear it.
//
// # How it works
//
// The relays of a hub have a log of their own beside the hub's, on the same engine, which a companion of the hub reads. The log is
// the only place where what is known of a relay is kept: every node reads the same records, in the same order, into its index
// (see Registry.see), and so knows the same relays. A relay is a topic there, named by its id:
//
//	relay/<id>  begin    who may hear it, where done goes, which node runs it
//	relay/<id>  answer   the headers of an answer that is about to be read
//	<id>        …        an event of the upstream
//	relay/<id>  outcome  what only the app is told of the end
//	<id>        sse:end  the status; clients get it, and their streams end
//	relay/<id>  adopted  which node calls done from now on
//	relay/<id>  done     the app has taken the call
//	relay/<id>  mark     nothing; see Registry.sync
//
// No client hears the topics relay/<id>. The first begin and the first end of an id count, whichever node wrote them.
package relay
