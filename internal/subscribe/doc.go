// Package subscribe serves the subscribe route, on which browsers hold an EventSource.
//
// A request goes through Route.ServeHTTP in this order: Screen refuses what no client may send, such as a page of another
// origin; the parameters, and the body, if there is one, are read and checked; the route's identity.Chain identifies the client;
// Enter asks the hub for admission, before a body is read or an app is asked, and else last; Begin subscribes the client at the
// hub; and Hold writes the stream, on a goroutine or on none. A client that may come again is sent away by Reject. If the app
// behind the site decides about clients (package upstream), it goes through the same steps.
package subscribe
