//! The project file that has Maven copy exactly the jars of a lock file.

use std::fmt::Write as _;

use super::lock::Lock;

/// Where Maven copies to, under the folder of the project.
pub(super) const RESOLVED: &str = "resolved";

/// The project: every jar by name, so that nothing is resolved that is not in the lock file.
pub(super) fn render(lock: &Lock, plugin: &str) -> String {
    let mut items = String::new();
    for jar in &lock.jars {
        let _ = write!(
            items,
            "
            <artifactItem>
              <groupId>{}</groupId>
              <artifactId>{}</artifactId>
              <version>{}</version>
              <outputDirectory>${{project.basedir}}/{RESOLVED}/{}</outputDirectory>
            </artifactItem>",
            jar.group, jar.name, jar.version, jar.folder
        );
    }
    format!(
        r#"<project xmlns="http://maven.apache.org/POM/4.0.0">
  <modelVersion>4.0.0</modelVersion>
  <groupId>conform</groupId>
  <artifactId>assembly</artifactId>
  <version>1</version>
  <packaging>pom</packaging>
  <build>
    <plugins>
      <plugin>
        <groupId>org.apache.maven.plugins</groupId>
        <artifactId>maven-dependency-plugin</artifactId>
        <version>{plugin}</version>
        <configuration>
          <artifactItems>{items}
          </artifactItems>
        </configuration>
      </plugin>
    </plugins>
  </build>
</project>
"#
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_copies_each_jar_to_its_folder() {
        let sum = "0".repeat(64);
        let lock = Lock::parse(&format!("modules/m org.x:m:8.1 {sum}\n")).unwrap();
        insta::assert_snapshot!(render(&lock, "3.8.1"), @r#"
        <project xmlns="http://maven.apache.org/POM/4.0.0">
          <modelVersion>4.0.0</modelVersion>
          <groupId>conform</groupId>
          <artifactId>assembly</artifactId>
          <version>1</version>
          <packaging>pom</packaging>
          <build>
            <plugins>
              <plugin>
                <groupId>org.apache.maven.plugins</groupId>
                <artifactId>maven-dependency-plugin</artifactId>
                <version>3.8.1</version>
                <configuration>
                  <artifactItems>
                    <artifactItem>
                      <groupId>org.x</groupId>
                      <artifactId>m</artifactId>
                      <version>8.1</version>
                      <outputDirectory>${project.basedir}/resolved/modules/m</outputDirectory>
                    </artifactItem>
                  </artifactItems>
                </configuration>
              </plugin>
            </plugins>
          </build>
        </project>
        "#);
    }
}
