// Package doctor finds out why a browser hears nothing: it opens real streams to a public URL, and where it can to the hub
// behind it, sends probes, waits, drops and resumes, and names what stands in the way.
package doctor
