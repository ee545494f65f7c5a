// Package front knows the proxies that may stand in front of a hub: how they are told apart, and what mends a finding in each of them.
package front
