package rules

import "github.com/sse-push/caddy-sse-push/broker"

var targetKinds = map[string]broker.TargetKind{
	"user": broker.User, "topic": broker.Topic, "connection": broker.Connection, "broadcast": broker.Broadcast,
}

// TargetKind returns the kind of target that a name in a config or a call stands for, such as user; 0 if it stands for none.
func TargetKind(name string) broker.TargetKind { return targetKinds[name] }

// TargetName returns the name of a kind of target.
func TargetName(kind broker.TargetKind) string {
	for name, k := range targetKinds {
		if k == kind {
			return name
		}
	}
	return ""
}
