package sitetest

import (
	"time"
)

func (s *Site) CountConnections() int {
	s.T.Helper()
	return Get[struct{ Total int }](s, "/_sse/connections").Total
}

type Connection struct {
	ID, User, Remote string
	Topics           []string
	Since            time.Time
}

type ConnectionList struct {
	Connections []Connection
	Total       int
}

func (c ConnectionList) IDs() (ids []string) {
	for _, one := range c.Connections {
		ids = append(ids, one.ID)
	}
	return ids
}
