// In a file that no compiler touches, since `import()` compiled for CommonJS becomes `require`, which
// takes no module with a top-level `await`.

exports.importFile = (url) => import(url);
