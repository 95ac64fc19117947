import assert from 'node:assert/strict';
import { execFileSync, spawnSync, type SpawnSyncReturns } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

export const root = join(__dirname, '../..');

/** The packed package and what is in it. */
export interface Packed {
  readonly tarball: string;
  readonly files: readonly string[];
}

/** An empty user project on a machine without a compiler. */
export class Project {
  private readonly work = mkdtempSync(join(tmpdir(), 'countenance-package-'));
  readonly folder = join(this.work, 'project');
  readonly environment: NodeJS.ProcessEnv;

  constructor() {
    // Everything that a user's project needs from a system, and nothing to compile with.
    const programs = join(this.work, 'bin');
    mkdirSync(programs);
    for (const name of ['sh', 'env']) symlinkSync(join('/bin', name), join(programs, name));
    for (const name of ['node', 'npm', 'npx']) {
      symlinkSync(join(dirname(process.execPath), name), join(programs, name));
    }
    const { HOME } = process.env;
    this.environment = {
      HOME,
      ...Object.fromEntries(
        Object.entries(process.env).filter(([key]) => /^npm_config_/i.test(key)),
      ),
      PATH: programs,
      // Ignores what the user has built before.
      XDG_CACHE_HOME: join(this.work, 'cache'),
      npm_config_audit: 'false',
      npm_config_fund: 'false',
    };
    mkdirSync(this.folder);
    this.write('package.json', '{ "name": "user", "private": true }');
  }

  /** Packs this package as it was built. */
  pack(): Packed {
    const packed = execFileSync(
      'npm',
      ['pack', '--ignore-scripts', '--json', `--pack-destination=${this.work}`],
      { cwd: root, encoding: 'utf8' },
    );
    const [{ filename, files }] = JSON.parse(packed) as [
      { filename: string; files: { path: string }[] },
    ];
    return { tarball: join(this.work, filename), files: files.map(({ path }) => path) };
  }

  install(...tarballs: string[]): void {
    this.succeeds('npm', 'install', '--silent', ...tarballs);
  }

  run(program: string, ...args: string[]): SpawnSyncReturns<string> {
    return spawnSync(program, args, {
      cwd: this.folder,
      encoding: 'utf8',
      env: this.environment,
    });
  }

  /** The output of a program that must succeed. */
  succeeds(program: string, ...args: string[]): string {
    const { status, stdout, stderr, error } = this.run(program, ...args);
    const line = `${program} ${args.join(' ')}`;
    assert.equal(status, 0, `${line}: ${stdout}${stderr}${error?.message ?? ''}`);
    return stdout;
  }

  write(name: string, text: string): string {
    writeFileSync(join(this.folder, name), text);
    return name;
  }

  remove(): void {
    rmSync(this.work, { recursive: true, force: true });
  }
}
