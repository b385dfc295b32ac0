// Icons of the pages, by their names at lucide.dev.
export const icons = [
  "anchor", "at-sign", "book-open", "chart-column", "check", "chevron-down", "chevron-right", "circle-alert", "circle-check", "copy", "download",
  "eye", "fingerprint", "gauge", "house", "info", "key-round", "laptop", "link", "lock", "log-out", "mail", "monitor-smartphone", "moon", "package",
  "plus", "rss", "scroll-text", "search", "settings", "shield-check", "ship", "sun", "terminal", "trash-2", "triangle-alert", "upload", "user-round",
  "users-round", "x",
];
